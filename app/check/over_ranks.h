#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/case/routing.h"
#include "app/check/check_suite.h"
#include "app/command_line/command.h"
#include "app/command_line/request.h"
#include "distributed/arrangement.h"
#include "kernel/kernel.h"

namespace flashbench::app {

/// The flags of check that split a problem over ranks.
FlagGroup over_ranks_flags();

/// `check --context_parallel`: every case in each of the arrangements that the flags ask for.
class OverRanks {
 public:
  /// `suite`: no workload is named, as CheckRequest has it. Throws UsageError for values and
  /// combinations that nothing accepts.
  OverRanks(const CommandLine& line, bool suite);

  bool asked() const { return !ways_.empty(); }

  /// Those of the suite, or of a workload; over ranks where that was asked for.
  std::vector<NamedGroup> cases(const CheckRequest& request, const Backends& backends) const;

  /// Puts kernels over ranks in place of those of the routes. `named` and `groups`: one of each
  /// other. The kernels live as long as this.
  void route(const std::vector<NamedGroup>& named, std::vector<RoutedGroup>& groups);

 private:
  struct Way {
    distributed::Arrangement of;
    bool own_layout;  ///< named by the user, or follows from the problem
  };
  std::vector<NamedGroup> over_ranks(std::vector<NamedGroup> groups) const;

  std::vector<Way> ways_;
  std::vector<std::unique_ptr<const Kernel>> kernels_;
};

}  // namespace flashbench::app

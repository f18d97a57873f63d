#pragma once

#include <optional>
#include <vector>

#include "app/case/routing.h"
#include "app/command_line/request.h"
#include "report/earlier_run.h"
#include "report/record.h"

namespace flashbench::app {

/// Completes the report of --resume: hands out what it has, and keeps what this run does not reach.
class Resume {
 public:
  /// Reads the report that `request` names, if it names one. Throws UsageError for a report that is
  /// none, and for one from another machine or build unless --resume_anyway.
  Resume(const BenchRequest& request, const report::Report& now);

  /// Takes the cases that are done out of `group`; the results that they have, by their place
  /// in it.
  std::vector<std::optional<report::Result>> take_done(RoutedGroup& group);

  /// Adds to the report of this run what only the earlier one has.
  void add_earlier(report::Report& report) const;

 private:
  std::optional<report::EarlierRun> earlier_;
  bool unverified_counts_ = false;
  bool other_setup_ = false;
};

}  // namespace flashbench::app

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "app/bench/foretold.h"
#include "app/case/routing.h"
#include "app/command_line/request.h"
#include "measure/budget.h"
#include "measure/limits.h"

namespace flashbench::app {

/// Keeps --budget: within a tenth, everything included, whatever it takes.
class BudgetedSweep {
 public:
  /// `groups`: what is to be measured, with those cases marked that do not fit into memory. The
  /// time that foretelling takes counts. Throws UnavailableError, with what it would take, where
  /// the least that the cases take is more than the budget.
  BudgetedSweep(const BenchRequest& request, std::vector<RoutedGroup> groups, PeakLog& peaks,
                measure::Clock& clock);

  /// Before a group is measured, as many in order as there are: its limits. Marks those of its
  /// cases for which there is no longer time (something took longer than foretold), the longest
  /// first; their places are in `left_out`.
  measure::Limits begin(RoutedGroup& group, std::vector<std::size_t>& left_out);
  /// Why a case is given up whose first call took that long; nullopt: there is time for it.
  std::optional<std::string> gives_up(const RoutedCase& c, double first_call_s);
  void end(const RoutedGroup& group, const std::vector<report::Result>& results, double fixed_s);

  /// After the last group: why there is no calibration; nullopt: there is time for it.
  std::optional<std::string> no_calibration();

  /// Seconds after this group, about.
  double later_s();

 private:
  measure::Need later();
  std::string reason(double needed_s) const;
  void refuse_what_cannot_be_kept();

  const BenchRequest& request_;
  measure::Budget budget_;
  std::vector<RoutedGroup> groups_;
  std::size_t next_ = 0;  ///< the first group that has not begun
  Foretold foretold_;
};

}  // namespace flashbench::app

#include "app/bench/budgeted_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "app/bench/calibrate.h"
#include "report/grid.h"
#include "report/units.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

/// What of a case a brief run of --calibrate samples beyond the least.
constexpr double kBrief_s = 0.15;

/// "12 s", "2 min": rounded up, to be asked for.
std::string duration(double seconds) {
  return seconds < 100 ? fmt::format("{:.0f}s", std::max(std::ceil(seconds), 1.0))
                       : fmt::format("{:.0f}m", std::ceil(seconds / 60));
}

}  // namespace

BudgetedSweep::BudgetedSweep(const BenchRequest& request, std::vector<RoutedGroup> groups,
                             PeakLog& peaks, measure::Clock& clock)
    : request_(request),
      budget_(*request.budget_s, clock),
      groups_(std::move(groups)),
      foretold_(request, peaks, clock) {
  refuse_what_cannot_be_kept();
}

void BudgetedSweep::refuse_what_cannot_be_kept() {
  const RoutedGroup* longest = nullptr;
  double longest_s = 0;
  for (const RoutedGroup& group : groups_) {
    const double s = foretold_.need(group).total_s();
    if (s > longest_s) longest = &group;
    longest_s = std::max(longest_s, s);
  }
  const measure::Need all = later();
  if (longest == nullptr || !budget_.exceeded_by(all.total_s())) return;
  const double spent_s = budget_.spent_s();
  throw UnavailableError(fmt::format(
      "--budget {}: peaks and a look at the cases took {}, {} about {} at the least, of which {} "
      "takes {}; use --budget {} or more, or leave out what is long",
      report::human_seconds(budget_.total_s()), report::human_seconds(spent_s),
      all.cases == 1 ? "the case takes" : fmt::format("the {} cases take", all.cases),
      report::human_seconds(all.total_s()),
      report::workload_text(report::workload_of(longest->problem)),
      report::human_seconds(longest_s), duration(1.1 * (all.total_s() + spent_s))));
}

measure::Need BudgetedSweep::later() {
  measure::Need need;
  for (std::size_t g = next_; g < groups_.size(); ++g) need += foretold_.need(groups_[g]);
  if (request_.calibrate) {  // which runs all of them again, the groups that are done as well
    for (const RoutedGroup& group : groups_) {
      const measure::Need once = foretold_.need(group);
      need.fixed_s += kCalibrationRuns * (once.total_s() + kBrief_s * once.cases);
    }
  }
  return need;
}

double BudgetedSweep::later_s() { return std::max(later().total_s(), budget_.left_s()); }

std::string BudgetedSweep::reason(double needed_s) const {
  return fmt::format("--budget {}: takes about {} more, {} left",
                     report::human_seconds(budget_.total_s()), report::human_seconds(needed_s),
                     report::human_seconds(budget_.left_s()));
}

measure::Limits BudgetedSweep::begin(RoutedGroup& group, std::vector<std::size_t>& left_out) {
  ++next_;
  for (;;) {
    const measure::Need now = foretold_.need(group);
    if (now.cases == 0 || !budget_.exceeded_by(now.total_s()))
      return budget_.next(request_.limits, now, later());
    std::size_t longest = group.cases.size();
    double longest_s = 0;
    for (std::size_t i = 0; i < group.cases.size(); ++i) {
      if (!group.cases[i].runs()) continue;
      const double s = foretold_.need(group.cases[i]).total_s();
      if (longest == group.cases.size() || s > longest_s) longest = i;
      longest_s = std::max(longest_s, s);
    }
    group.cases[longest].skipped = {Rejection::Kind::kUnsupported, reason(longest_s)};
    left_out.push_back(longest);
  }
}

std::optional<std::string> BudgetedSweep::gives_up(const RoutedCase& c, double first_call_s) {
  const double needed_s = (1 + request_.limits.timeout_samples) * first_call_s;
  if (!budget_.exceeded_by(needed_s)) return std::nullopt;
  foretold_.learn(c, first_call_s);
  return reason(needed_s);
}

std::optional<std::string> BudgetedSweep::no_calibration() {
  const double needed_s = later().total_s();
  if (!budget_.exceeded_by(needed_s)) return std::nullopt;
  return reason(needed_s);
}

void BudgetedSweep::end(const RoutedGroup& group, const std::vector<report::Result>& results,
                        double fixed_s) {
  foretold_.learn(group, results, fixed_s);
}

}  // namespace flashbench::app

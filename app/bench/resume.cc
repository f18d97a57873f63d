#include "app/bench/resume.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "app/case/results.h"
#include "app/terminal/streams.h"
#include "report/json.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::app {

Resume::Resume(const BenchRequest& request, const report::Report& now)
    : unverified_counts_(request.run.verify == VerifyMode::kNone) {
  if (request.resume.empty()) return;
  const std::string path = report::find_resumable(request.resume);
  report::Report then = report::read_report(path);
  const std::vector<std::string> differences = report::setup_differences(then, now);
  other_setup_ = !differences.empty();
  if (other_setup_ && !request.resume_anyway)
    throw UsageError(
        fmt::format("--resume {}: is from another machine or build ({}); --resume_anyway takes "
                    "it all the same",
                    path, fmt::join(differences, "; ")));
  if (!other_setup_ && !report::same_build_is_certain(then, now))
    print_err(
        fmt::format("flashbench: --resume {}: built from files that no commit has, so that "
                    "it may be from another build\n",
                    path));
  earlier_.emplace(std::move(then));
}

std::vector<std::optional<report::Result>> Resume::take_done(RoutedGroup& group) {
  std::vector<std::optional<report::Result>> kept(group.cases.size());
  if (!earlier_) return kept;
  const std::set<std::string> told = earlier_->replaced();
  std::vector<RoutedCase> left;
  for (std::size_t i = 0; i < group.cases.size(); ++i) {
    const report::Result wanted = result_of("bench", group.cases[i]);
    kept[i] = earlier_->take(wanted, unverified_counts_);
    if (kept[i]) kept[i]->part = wanted.part;
    if (!kept[i])
      left.push_back(std::move(group.cases[i]));
    else if (other_setup_)
      kept[i]->warnings.push_back(fmt::format(
          "measured elsewhere ({}); this report mixes machines or builds", earlier_->setup()));
  }
  for (const std::string& guest : earlier_->replaced())
    if (!told.contains(guest))
      print_err(
          fmt::format("flashbench: --resume: {} is not the same as then, as far as is known; its "
                      "cases are measured again\n",
                      quote(guest)));
  group.cases = std::move(left);
  return kept;
}

void Resume::add_earlier(report::Report& report) const {
  if (!earlier_) return;
  report.started_at = earlier_->started_at();
  report.peaks = earlier_->with_earlier_peaks(std::move(report.peaks));
  report.results.insert(report.results.end(), earlier_->rest().begin(), earlier_->rest().end());
}

}  // namespace flashbench::app

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench_group.h"
#include "commands.h"
#include "dry_run.h"
#include "interrupt.h"
#include "measure/budget.h"
#include "measure/clock.h"
#include "peaks.h"
#include "progress.h"
#include "report/derive.h"
#include "report/grid.h"
#include "report/table.h"
#include "results.h"
#include "streams.h"

namespace flashbench::app {
namespace {

std::vector<RoutedGroup> route_all(const RunRequest& run) {
  std::vector<RoutedGroup> groups;
  for (const sweep::Group& group : run.groups) groups.push_back(route_group(group, run.given));
  return groups;
}

int count_cases(const std::vector<RoutedGroup>& groups) {
  int count = 0;
  for (const RoutedGroup& g : groups) count += static_cast<int>(g.cases.size());
  return count;
}

/// Everything that follows from all results together.
void derive(report::Report& report, const PeakLog& peaks, const std::vector<sweep::Case>& cases) {
  report.peaks = peaks.report();
  add_parameters(report.results, cases);
  report::derive_speedups(report.results);
  report.summary = report::summarize(report.results);
}

void show(const report::Report& report, const report::ReportWriter& writer) {
  const std::string table = report::table_text(report);
  if (writer.stdout_taken())
    print_err(table);
  else
    print_out(table);
  for (const std::string& warning : report::warning_lines(report)) print_err(warning + "\n");
}

}  // namespace

ExitCode run_bench(const BenchRequest& request) {
  const report::ReportWriter writer(request.run.reports);
  std::vector<RoutedGroup> groups = route_all(request.run);
  if (request.run.dry_run) return show_dry_run(request.run, groups);
  if (request.run.verify == VerifyMode::kNone)
    print_err("flashbench: --verify none: a number without a passed check is null\n");

  report::Report report = new_report(request.run.argv);
  measure::SteadyClock clock;
  PeakLog peaks;
  std::optional<measure::Budget> budget;
  if (request.budget_s) budget.emplace(*request.budget_s, clock);
  const int total = count_cases(groups);
  ProgressLine progress(total);
  std::vector<sweep::Case> cases;
  bool any_finished = false;
  for (RoutedGroup& group : groups) {
    if (interrupted()) break;
    const int done = static_cast<int>(cases.size());
    std::vector<report::Result> results = bench_group(
        group, {request, report.context, clock, peaks, progress,
                budget ? budget->next(request.limits, total - done) : request.limits, done});
    for (std::size_t i = 0; i < results.size(); ++i) {
      any_finished = any_finished || results[i].status != report::Status::kInterrupted;
      report.results.push_back(std::move(results[i]));
      cases.push_back(group.cases[i].request);
    }
    derive(report, peaks, cases);
    if (any_finished) writer.update(report);
  }
  progress.clear();
  // Interrupted before anything was done, there is nothing worth replacing a file for.
  if (any_finished) writer.finish(report);
  if (any_finished) show(report, writer);
  return interrupted() ? interrupted_code() : exit_code(report.results);
}

}  // namespace flashbench::app

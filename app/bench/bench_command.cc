#include "app/bench/bench_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "app/bench/bench_group.h"
#include "app/bench/budgeted_sweep.h"
#include "app/bench/calibrate.h"
#include "app/bench/resume.h"
#include "app/case/dry_run.h"
#include "app/case/memory_limit.h"
#include "app/case/peaks.h"
#include "app/case/results.h"
#include "app/case/trace.h"
#include "app/terminal/last_outputs.h"
#include "app/terminal/progress.h"
#include "app/terminal/streams.h"
#include "measure/clock.h"
#include "measure/time_left.h"
#include "report/derive.h"
#include "report/table.h"
#include "system/error.h"
#include "system/interrupt.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

/// The cases of the sweep, in its order, and their results as far as there are any.
struct SweepResults {
  std::vector<RoutedCase> cases;
  std::vector<std::optional<report::Result>> results;
};

/// What is left to measure of a group, and where its results go.
struct OpenGroup {
  RoutedGroup routed;
  std::vector<std::size_t> indices;  ///< of its cases in SweepResults
  bool apart = false;                ///< an earlier run has measured the others of this group
};

/// Lists every case in `sweep`, with its result where `resume` has it; the rest is left to measure.
std::vector<OpenGroup> open_groups(const RunRequest& run, const Backends& backends, Resume& resume,
                                   SweepResults& sweep) {
  std::vector<OpenGroup> open;
  for (const sweep::Group& group : run.groups) {
    OpenGroup g{route_group(group, run.given, backends), {}, false};
    for (RoutedCase& c : g.routed.cases)
      if (c.runs() && !c.traits().has_speed)
        c.skipped = {Rejection::Kind::kUnsupported,
                     "an emulator has no speed; use check, or forward and backward with --profile"};
    for (const RoutedCase& c : g.routed.cases) sweep.cases.push_back(c);
    for (std::optional<report::Result>& kept : resume.take_done(g.routed)) {
      g.apart = g.apart || kept;
      if (!kept) g.indices.push_back(sweep.results.size());
      sweep.results.push_back(std::move(kept));
    }
    if (!g.indices.empty()) open.push_back(std::move(g));
  }
  return open;
}

int count_open(const std::vector<OpenGroup>& groups) {
  std::size_t count = 0;
  for (const OpenGroup& g : groups) count += g.indices.size();
  return static_cast<int>(count);
}

/// `report` with the results so far and everything that follows from them together.
report::Report filled(report::Report report, const SweepResults& sweep, const PeakLog& peaks,
                      const Resume& resume) {
  std::vector<sweep::Case> cases;
  std::vector<RoutedCase> routed;
  for (std::size_t i = 0; i < sweep.cases.size(); ++i) {
    if (!sweep.results[i]) continue;
    report.results.push_back(*sweep.results[i]);
    cases.push_back(sweep.cases[i].request);
    routed.push_back(sweep.cases[i]);
  }
  report.peaks = peaks.report();
  add_parameters(report.results, cases);
  resume.add_earlier(report);
  report::conclude(report);
  add_predicted_limits(report, routed);
  return report;
}

/// No interleaving made this result comparable with the others of its group.
void warn_apart(report::Result& result) {
  if (!result.timing) return;
  result.warnings.push_back(
      "measured in another run than what it is compared with, so that the ratio has the drift of "
      "the machine between them in it; measure both in one run");
}

/// How long the groups after the current one take.
class Later {
 public:
  Later(const BenchRequest& request, const std::vector<OpenGroup>& open)
      : time_left_(request.limits) {
    for (const OpenGroup& group : open) {
      for (const RoutedCase& c : group.routed.cases)
        if (c.runs())
          flop_.push_back(c.route->kernel->predicted_flop(c.request.problem, c.route->execution));
      ends_.push_back(flop_.size());
    }
  }

  void learn(const report::Result& r, double took_s) {
    if (r.timing && r.flop_executed)
      time_left_.finished(*r.flop_executed, r.timing->median, took_s);
  }

  /// Seconds after group `g`, never more than a budget leaves.
  std::optional<double> after(std::size_t g, std::optional<BudgetedSweep>& budget) const {
    std::optional<double> left = time_left_.of(std::span(flop_).subspan(ends_[g]));
    if (left && budget) left = std::min(*left, budget->later_s());
    return left;
  }

 private:
  measure::TimeLeft time_left_;
  std::vector<double> flop_;       ///< of one call, case by case, in the order in which they run
  std::vector<std::size_t> ends_;  ///< of each group in flop_
};

ExitCode dry_run(const RunRequest& run, std::vector<OpenGroup> open, const Runtime& runtime) {
  std::vector<RoutedGroup> groups;
  for (OpenGroup& g : open) groups.push_back(std::move(g.routed));
  return groups.empty() ? ExitCode::kOk : show_dry_run(run, groups, runtime);
}

/// With --budget: what keeps it.
std::optional<BudgetedSweep> budgeted(const BenchRequest& request, std::vector<OpenGroup>& open,
                                      const report::Context& machine, PeakLog& peaks,
                                      measure::Clock& clock) {
  if (!request.budget_s) return std::nullopt;
  std::vector<RoutedGroup> groups;
  for (OpenGroup& group : open) {
    skip_what_does_not_fit(group.routed, request, machine);
    groups.push_back(group.routed);
  }
  return BudgetedSweep(request, std::move(groups), peaks, clock);
}

void show(const report::Report& report, const report::ReportWriter& writer,
          const BenchRequest& request) {
  const std::string table =
      folded(request.explain ? report::explained_table_text(report, table_width())
                             : report::table_text(report, sweep::fields(), table_width()));
  if (writer.stdout_taken())
    print_err(table);
  else
    print_out(table);
  print_warnings(report);
}

ExitCode finish(const BenchRequest& request, const report::Report& report,
                report::ReportWriter& writer, const TraceFile& trace) {
  LastOutputs outputs;
  outputs.add_lost(writer.finish(report));
  if (trace.wanted()) outputs.attempt([&] { trace.write(request.run.argv); });
  show(report, writer, request);
  return interrupted() ? interrupted_code() : outputs.code(exit_code(report.results));
}

ExitCode run_bench(const BenchRequest& request, const Runtime& runtime) {
  report::ReportWriter writer(request.run.reports);
  const report::Report start = new_report(request.run, runtime.backends);
  Resume resume(request, start);
  SweepResults sweep;
  std::vector<OpenGroup> open = open_groups(request.run, runtime.backends, resume, sweep);
  const int total = static_cast<int>(sweep.cases.size());
  int done = total - count_open(open);
  if (!request.resume.empty())
    print_err(fmt::format("flashbench: --resume {}: has {} of {} cases\n", escape(request.resume),
                          done, total));
  if (request.run.dry_run) return dry_run(request.run, std::move(open), runtime);
  if (request.run.verify == VerifyMode::kNone)
    print_err("flashbench: --verify none: a number without a passed check is null\n");

  measure::Clock& clock = runtime.clock;
  PeakLog peaks;
  std::optional<BudgetedSweep> budget = budgeted(request, open, start.context, peaks, clock);
  ProgressLine progress(total, request.run.quiet);
  TraceFile trace(request.run.trace, total - done);
  Later later(request, open);
  bool any_finished = done > 0;
  for (std::size_t g = 0; g < open.size() && !interrupted(); ++g) {
    OpenGroup& group = open[g];
    progress.set_later(later.after(g, budget));
    const double before_s = clock.now_s();
    std::vector<std::size_t> left_out;
    auto [results, sampling_s] =
        bench_group(group.routed, {request, start.context, clock, peaks, progress, trace,
                                   budget ? budget->begin(group.routed, left_out) : request.limits,
                                   done, [&](const RoutedCase& c, double call_s) {
                                     return budget ? budget->gives_up(c, call_s) : std::nullopt;
                                   }});
    for (const std::size_t i : left_out) results[i].refusal.reset();  // nobody refused it
    if (budget) budget->end(group.routed, results, clock.now_s() - before_s - sampling_s);
    for (std::size_t i = 0; i < results.size(); ++i) {
      any_finished = any_finished || results[i].status != report::Status::kInterrupted;
      if (group.apart) warn_apart(results[i]);
      later.learn(results[i], (clock.now_s() - before_s) / static_cast<double>(results.size()));
      progress.set_later(later.after(g, budget));
      progress.finished(++done, results[i]);
      sweep.results[group.indices[i]] = std::move(results[i]);
    }
    if (any_finished) print_err(going_on(writer.update(filled(start, sweep, peaks, resume))));
  }
  progress.clear();
  report::Report report = filled(start, sweep, peaks, resume);
  if (request.calibrate && any_finished && !interrupted()) {
    const std::optional<std::string> why = budget ? budget->no_calibration() : std::nullopt;
    if (why)
      print_err(fmt::format("flashbench: no calibration: {}\n", *why));
    else
      calibrate(report, request);
  }
  // Interrupted before anything was done, there is nothing worth replacing a file for.
  if (!any_finished) return interrupted() ? interrupted_code() : exit_code(report.results);
  return finish(request, report, writer, trace);
}

}  // namespace

const Command& bench_command() {
  using enum FlagSet;
  static const Command command{
      .name = "bench",
      .summary = "measure; every workload flag takes lists and ranges",
      .more =
          "Without --type, flash and normal are measured interleaved and compared. The "
          "defaults are\n"
          "--b 1 --h 2 --q_len 4096 --d 512 --pass forward.\n"
          "\n"
          "Numbers are digits with an optional k (1024) or m (1024*1024). Lists: 1k,2k,4k. "
          "Ranges:\n"
          "512:16k:x2 (times 2), 64:256:+64; the end is included when it is hit.\n"
          "\n"
          "Examples:\n"
          "  flashbench bench\n"
          "  flashbench bench --causal --q_len 512:16k:x2 --d 64,128 --json report.json\n"
          "  flashbench bench --mask random --pass both --profile\n"
          "  flashbench bench --config quick --budget 60s\n",
      .takes = {kEvery, kMachine, kComputes, kTables, kTraced, kSweeps, kBench},
      .run = [](const CommandLine& line, const Runtime& runtime) {
        const BenchRequest request = bench_request(line, runtime.backends);
        size_host_team(request.run.groups, runtime.backends);
        return run_bench(request, runtime);
      }};
  return command;
}

}  // namespace flashbench::app

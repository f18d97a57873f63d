#include "app/case/dry_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "app/case/memory.h"
#include "app/case/peaks.h"
#include "app/case/results.h"
#include "app/terminal/last_outputs.h"
#include "app/terminal/streams.h"
#include "core/work.h"
#include "oracle/verify.h"
#include "report/layout.h"
#include "report/units.h"
#include "report/writer.h"
#include "sweep/shown.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

using Cells = std::vector<std::string>;

/// Peaks are read once for each execution that has its own; nullopt where they cannot be read.
class Peaks {
 public:
  std::optional<PeakRates> of(const registry::Route& route, Dtype dtype) {
    Backend& backend = *route.backend;
    const Execution& e = route.execution;
    for (const Entry& entry : entries_)
      if (entry.backend == &backend && backend.same_peaks(entry.execution, e) &&
          entry.dtype == dtype)
        return entry.rates;
    entries_.push_back({&backend, e, dtype, log_.try_measure(backend, e, dtype)});
    return entries_.back().rates;
  }

 private:
  struct Entry {
    Backend* backend;
    Execution execution;
    Dtype dtype;
    std::optional<PeakRates> rates;
  };
  PeakLog log_;
  std::vector<Entry> entries_;
};

/// What is computed, as far as the cases say anything of it.
std::vector<sweep::Column> columns_of(const std::vector<RoutedGroup>& groups) {
  std::vector<sweep::Column> columns = sweep::columns();
  std::erase_if(columns, [&](const sweep::Column& column) {
    if (!sweep::poses_the_problem(*column.fields.front())) return true;
    for (const RoutedGroup& group : groups)
      for (const RoutedCase& c : group.cases)
        if (!column.cell(sweep::record_of(c.request)).empty()) return false;
    return true;
  });
  return columns;
}

/// The columns of a dry run, and its rows, one a case.
struct Plan {
  using Phrase = std::function<std::string(const std::string& cell)>;
  std::vector<report::Grid::Column> names;  ///< of what is computed, and by what
  std::vector<Phrase> phrases;              ///< of their cells, for the caption
  std::vector<report::Grid::Row> rows;

  void add(const std::string& title, report::Grid::Align align, Phrase phrase) {
    names.push_back({title, align});
    phrases.push_back(std::move(phrase));
  }
};

Plan empty_plan(const std::vector<sweep::Column>& columns) {
  using enum report::Grid::Align;
  const auto as_it_is = [](const std::string& cell) { return cell; };
  Plan plan;
  plan.add("type", kLeft, as_it_is);
  for (const sweep::Column& c : columns)
    plan.add(c.title, kLeft, [c](const std::string& cell) { return c.phrase(cell); });
  plan.add("kernel", kLeft, as_it_is);
  plan.add("isa", kLeft, as_it_is);
  plan.add("threads", kRight, [](const std::string& cell) {
    return fmt::format("{} thread{}", cell, cell == "1" ? "" : "s");
  });
  return plan;
}

/// Takes what all rows say alike, but for their type, out of them; says it once.
std::string take_caption(Plan& plan) {
  std::vector<std::string> phrases;
  for (std::size_t i = 1; i < plan.names.size();) {
    std::set<std::string> cells;
    for (const report::Grid::Row& row : plan.rows)
      if (i < row.cells.size()) cells.insert(row.cells[i]);
    if (cells.size() > 1) {
      ++i;
      continue;
    }
    if (!cells.empty() && *cells.begin() != "-")
      if (std::string phrase = plan.phrases[i](*cells.begin()); !phrase.empty())
        phrases.push_back(std::move(phrase));
    const auto at = static_cast<std::ptrdiff_t>(i);
    plan.names.erase(plan.names.begin() + at);
    plan.phrases.erase(plan.phrases.begin() + at);
    for (report::Grid::Row& row : plan.rows)
      if (i < row.cells.size()) row.cells.erase(row.cells.begin() + at);
  }
  return phrases.empty() ? "" : fmt::format("{}\n\n", fmt::join(phrases, ", "));
}

std::string plan_text(Plan plan) {
  using enum report::Grid::Align;
  const std::string caption = take_caption(plan);
  std::vector<report::Grid::Column> columns = plan.names;
  columns.insert(columns.end(), {{"FLOP visible", kRight},
                                 {"executed", kRight},
                                 {"bytes", kRight},
                                 {"memory", kRight},
                                 {"time at peak", kRight}});
  return caption + report::aligned_text(columns, plan.rows, {table_width(), plan.names.size()});
}

Cells case_cells(const RoutedCase& c, const std::vector<sweep::Column>& columns) {
  Cells cells = {std::string(name(c.request.type))};
  for (const sweep::Column& column : columns)
    cells.push_back(column.cell(sweep::record_of(c.request)));
  return cells;
}

/// "8.597 GFLOP".
std::string human_flop(double flop) {
  const std::string rate = report::human_flop_rate(flop);
  return rate.substr(0, rate.size() - 2);  // without "/s"
}

/// What one call of each case takes at the peaks.
struct Total {
  double seconds = 0;
  int cases = 0, unknown = 0;  ///< those that run; of these, without peaks
};

std::string total_text(const Total& total) {
  if (total.cases == 0) return "";
  std::string text = fmt::format("\ntotal: {} case{}, {} for one call of each at peak", total.cases,
                                 total.cases == 1 ? "" : "s", report::human_seconds(total.seconds));
  if (total.unknown > 0) text += fmt::format(", {} of them not counted: no peak", total.unknown);
  return text + "; sampling and verification come on top\n";
}

Cells runnable_cells(const RoutedCase& c, const std::vector<sweep::Column>& columns, Peaks& peaks,
                     Total& total) {
  const Problem& p = c.request.problem;
  const Execution& e = c.route->execution;
  const Work work = count_work(p, expected_visible(p));
  const double executed = c.route->kernel->predicted_flop(p, e);
  const std::optional<PeakRates> rates = peaks.of(*c.route, p.dtype);
  const double seconds =
      rates ? std::max(executed / rates->flop_s, work.bytes / rates->bytes_s) : 0;
  total.seconds += seconds;
  ++total.cases;
  if (!rates) ++total.unknown;
  const std::string time = rates ? report::human_seconds(seconds) : "-";
  Cells cells = case_cells(c, columns);
  cells.insert(
      cells.end(),
      {c.route->kernel->info().name,
       c.place.device ? fmt::format("{} {}", name(c.backend), *c.place.device)
                      : c.place.isa.value_or("-"),
       c.place.threads ? fmt::format("{}", *c.place.threads) : "-", human_flop(work.flop_visible),
       human_flop(executed), report::human_bytes(work.bytes),
       report::human_bytes(static_cast<double>(memory_need(c).total())), time});
  return cells;
}

/// A dry run leaves files alone: a report that was measured is worth more than its plan.
report::Outputs only_stdout(report::Outputs outputs) {
  for (std::string* path :
       {&outputs.json, &outputs.csv, &outputs.md, &outputs.bmf, &outputs.github})
    if (*path != "-") path->clear();
  return outputs;
}

/// The case as a report has it, without a measured number.
report::Result unmeasured(const RunRequest& request, const RoutedCase& c) {
  report::Result result = result_of(request.command, c);
  const Problem& p = c.request.problem;
  add_work(result, count_work(p, expected_visible(p)));
  if (!c.runs()) return result;
  result.status = report::Status::kSkipped;
  result.reason = "dry run: nothing was measured";
  result.flop_executed = c.route->kernel->predicted_flop(p, c.route->execution);
  result.workspace_bytes = memory_need(c).workspace;
  return result;
}

}  // namespace

ExitCode show_dry_run(const RunRequest& request, std::vector<RoutedGroup>& groups,
                      const Runtime& runtime, const std::string& preface) {
  report::ReportWriter writer(only_stdout(request.reports));
  report::Report report = new_report(request, runtime.backends);
  std::vector<sweep::Case> cases;
  Peaks peaks;
  const std::vector<sweep::Column> columns = columns_of(groups);
  Plan plan = empty_plan(columns);
  Total total;
  for (RoutedGroup& group : groups) {
    const VerifyLevel level = oracle::choose_level(request.verify, group.problem);
    ExtraMemory extra;
    if (level == VerifyLevel::kFull) extra.shared = reference_bytes(group.problem);
    skip_what_does_not_fit(group, extra);
    for (const RoutedCase& c : group.cases) {
      report.results.push_back(unmeasured(request, c));
      cases.push_back(c.request);
      if (c.runs()) {
        plan.rows.push_back({runnable_cells(c, columns, peaks, total), ""});
        continue;
      }
      plan.rows.push_back({case_cells(c, columns), "skipped: " + c.skipped->reason});
    }
  }
  add_parameters(report.results, cases);
  LastOutputs outputs;
  outputs.add_lost(writer.finish(report));
  const std::string table = preface + plan_text(std::move(plan)) + total_text(total);
  if (writer.stdout_taken())
    print_err(table);
  else
    print_out(table);
  return outputs.code(total.cases > 0 ? ExitCode::kOk : ExitCode::kUnavailable);
}

}  // namespace flashbench::app

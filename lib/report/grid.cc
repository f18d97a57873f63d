#include "report/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "report/derive.h"
#include "report/models.h"
#include "report/ratio.h"
#include "report/shares.h"
#include "report/summary_lines.h"
#include "report/units.h"
#include "report/verdict_line.h"
#include "report/version.h"
#include "sweep/shown.h"

namespace flashbench::report {
namespace {

/// What all rows have alike.
struct Shared {
  RateUnit rate;
  bool sampled = false;  ///< every check is of a sample
};

struct Measured {
  const char* title;  ///< "" for that of the unit of rates
  Grid::Align align;
  std::string (*cell)(const Result&, const Shared&);
};

std::string peak_share_text(const Result& r, const Shared&) {
  if (r.timing && r.timing->disturbed) return "disturbed";
  if (!r.pct_peak) return "-";
  const char* cached = *r.pct_peak > kMostShare ? ", cached" : "";
  return fmt::format("{:.0f} % {}{}", *r.pct_peak, r.bound.value_or(""), cached);
}

std::string check_text(const Result& r, const Shared& shared) {
  const std::string cell = verdict_cell(r.check, shared.sampled ? "sample" : "full");
  return r.status == Status::kInterrupted ? cell + ", interrupted" : cell;
}

const Measured kMeasured[] = {
    {"time", Grid::Align::kRight,
     [](const Result& r, const Shared&) {
       if (!r.timing) return std::string("-");
       const double half_width = (r.timing->ci95[1] - r.timing->ci95[0]) / 2;
       return human_seconds(r.timing->median, half_width);
     }},
    {"min–max", Grid::Align::kRight,
     [](const Result& r, const Shared&) {
       return r.timing ? human_range(r.timing->min, r.timing->max, r.timing->median) : "-";
     }},
    {"", Grid::Align::kRight,
     [](const Result& r, const Shared& shared) {
       return r.tflops ? human_flop_rate(*r.tflops * 1e12, shared.rate) : "-";
     }},
    {"of peak", Grid::Align::kRight, peak_share_text},
    {"peak mem", Grid::Align::kRight,
     [](const Result& r, const Shared&) {
       const auto bytes = r.device_bytes ? r.device_bytes : r.peak_rss_bytes;
       return bytes ? human_bytes(static_cast<double>(*bytes)) : "-";
     }},
    {"check", Grid::Align::kLeft, check_text},
};
constexpr std::ptrdiff_t kRatioColumn = 2;  ///< of the measured ones: behind the times

Shared shared_by(const std::vector<Result>& results) {
  Shared shared;
  std::vector<double> rates;
  std::set<std::string> levels;
  for (const Result& r : results) {
    if (r.tflops) rates.push_back(*r.tflops * 1e12);
    if (r.check.verdict != "not verified") levels.insert(r.check.level);
  }
  shared.rate = rate_unit(rates);
  shared.sampled = levels == std::set<std::string>{"sample"};
  return shared;
}

std::string joined(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// Those of the largest team that ran on the processor; where none did, those that could run.
int threads_used(const Report& report) {
  int most = 0;
  for (const Result& r : report.results)
    if (r.status != Status::kSkipped) most = std::max(most, r.threads.value_or(0));
  const Cpu& cpu = report.context.cpu;
  return most > 0 ? std::min(most, cpu.threads) : cpu.usable_threads;
}

std::string machine_text(const Report& report) {
  const Context& c = report.context;
  std::vector<std::string> parts = {
      c.cpu.model, fmt::format("{} of {} threads", threads_used(report), c.cpu.threads)};
  if (c.gpu) parts.push_back(c.gpu->model);
  parts.push_back(c.compiler);
  parts.push_back(tool_text(report.tool));
  return joined(parts);
}

std::string peaks_text(const Report& report) {
  std::vector<std::string> parts;
  std::set<int> threads;
  std::set<std::optional<std::string>> devices;
  for (const Peak& p : report.peaks) {
    devices.insert(p.device);
    if (!p.device) threads.insert(p.threads);
  }
  for (const Peak& p : report.peaks) {
    if (!p.gflops && !p.read_gb_s) continue;  // an earlier report may hold anything
    std::string on = threads.size() > 1 ? fmt::format(" x{}", p.threads) : "";
    if (p.device) on = devices.size() > 1 ? " device " + *p.device : "";
    if (p.gflops)
      parts.push_back(fmt::format("{} {}{} {}", p.dtype.value_or(""), p.isa, on,
                                  human_flop_rate(*p.gflops * 1e9)));
    if (p.read_gb_s)
      parts.push_back(fmt::format("memory reads{} {}/s", on, human_bytes(*p.read_gb_s * 1e9)));
    if (p.disturbed) parts.back() += " (disturbed by other programs)";
  }
  return parts.empty() ? "" : "peaks measured here: " + joined(parts);
}

/// Nothing was computed, or it threw: no cell has anything to say.
std::string note_text(const Result& r) {
  const bool computed = r.status == Status::kOk || r.check.verdict == "fail" || r.timing;
  if (computed) return "";
  return r.reason ? fmt::format("{}: {}", name(r.status), *r.reason) : std::string(name(r.status));
}

std::string label(const Result& r, const std::vector<sweep::Column>& varying) {
  std::vector<std::string> parts;
  for (const sweep::Column& c : varying)
    if (std::string cell = c.cell(r); !c.is_usual(cell)) parts.push_back(c.brief(cell));
  return joined(parts);
}

/// What results beside `normal` are of it; a table of one comparison says it below.
void add_ratios(Grid& grid, const std::vector<Result>& results) {
  const auto compared = [](const Result& r) {
    return r.speedup_over && r.speedup_over->contains("normal");
  };
  if (std::count_if(results.begin(), results.end(), compared) < 2) return;
  const auto at = static_cast<std::ptrdiff_t>(grid.measured) + kRatioColumn;
  grid.columns.insert(grid.columns.begin() + at, {"as fast as normal", Grid::Align::kRight});
  for (std::size_t i = 0; i < results.size(); ++i) {
    std::vector<std::string>& cells = grid.rows[i].cells;
    if (!grid.rows[i].note.empty()) continue;
    const std::optional<Ratio> ratio = speedup_over(results[i], "normal");
    cells.insert(cells.begin() + at, ratio ? ratio_cell(*ratio) : "-");
  }
}

}  // namespace

std::string workload_text(const Workload& w) {
  return sweep::column_text("workload", sweep::record_of(w));
}

std::string mask_text(const Workload& w) { return sweep::column_text("mask", sweep::record_of(w)); }

std::string mask_phrase(const Workload& w) {
  const sweep::CaseRecord record = sweep::record_of(w);
  return sweep::column_phrase("mask", record) + sweep::others_text(record);
}

Grid make_grid(const Report& report, std::span<const sweep::Field> table) {
  std::vector<Result> results = report.results;
  for (Result& r : results) r = published(std::move(r));
  tell_guests_apart(results);

  Grid grid;
  grid.machine = machine_text(report);
  grid.peaks = peaks_text(report);
  std::vector<sweep::Column> varying;
  std::vector<std::string> constant;
  for (sweep::Column& c : sweep::columns(table)) {
    std::set<std::string> cells;
    for (const Result& r : results) cells.insert(c.cell(r));
    if (cells.size() == 1) {
      if (std::string phrase = c.phrase(*cells.begin()); !phrase.empty())
        constant.push_back(std::move(phrase));
    }
    if (cells.size() > 1) varying.push_back(std::move(c));
  }
  const Shared shared = shared_by(results);
  if (shared.sampled) constant.emplace_back("a sample checked");
  grid.caption = joined(constant);

  grid.columns.push_back({"type", Grid::Align::kLeft});
  for (const sweep::Column& c : varying) grid.columns.push_back({c.title, Grid::Align::kLeft});
  grid.measured = grid.columns.size();
  for (const Measured& m : kMeasured)
    grid.columns.push_back({*m.title != '\0' ? m.title : std::string(shared.rate.name), m.align});
  for (const Result& r : results) {
    Grid::Row row;
    row.cells.push_back(r.type);
    for (const sweep::Column& c : varying) row.cells.push_back(c.cell(r));
    row.note = note_text(r);
    if (row.note.empty())
      for (const Measured& m : kMeasured) row.cells.push_back(m.cell(r, shared));
    grid.rows.push_back(std::move(row));
  }
  add_ratios(grid, results);
  const Label label_of = [&](const Result& r) { return label(r, varying); };
  Report shown = report;
  shown.results = std::move(results);
  grid.models = model_lines(report.summary.models);
  grid.summary = summary_lines(shown, label_of);
  grid.explanations = explanation_lines(shown, label_of);
  std::erase_if(grid.explanations, [&](const std::string& line) {
    return std::find(grid.summary.begin(), grid.summary.end(), line) != grid.summary.end();
  });
  return grid;
}

std::string result_text(const Result& r) {
  const std::string mask = mask_text(r.workload);
  return fmt::format("{} {} {} {}{}{}", r.type, r.pass, r.workload.dtype, workload_text(r.workload),
                     mask == "none" ? "" : " " + mask, sweep::others_text(r));
}

}  // namespace flashbench::report

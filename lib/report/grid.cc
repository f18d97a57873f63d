#include "report/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "report/explain.h"
#include "report/units.h"
#include "report/verdict_line.h"
#include "report/version.h"
#include "sweep/shown.h"

namespace flashbench::report {
namespace {

/// More results than these are read as a table, and a sentence for each would hide it.
constexpr std::size_t kExplained = 2;

struct Measured {
  const char* title;
  Grid::Align align;
  std::string (*cell)(const Result&);
};

std::string peak_share_text(const Result& r) {
  if (!r.pct_peak) return "-";
  return fmt::format("{:.0f} % {}", *r.pct_peak, r.bound.value_or(""));
}

std::string check_text(const Result& r) {
  const std::string cell = verdict_cell(r.check);
  return r.status == Status::kInterrupted ? cell + ", interrupted" : cell;
}

const Measured kMeasured[] = {
    {"time", Grid::Align::kRight,
     [](const Result& r) {
       if (!r.timing) return std::string("-");
       const double half_width = (r.timing->ci95[1] - r.timing->ci95[0]) / 2;
       return human_seconds(r.timing->median, half_width);
     }},
    {"speed", Grid::Align::kRight,
     [](const Result& r) { return r.tflops ? human_flop_rate(*r.tflops * 1e12) : "-"; }},
    {"of peak", Grid::Align::kRight, peak_share_text},
    {"peak memory", Grid::Align::kRight,
     [](const Result& r) {
       const auto bytes = r.device_bytes ? r.device_bytes : r.peak_rss_bytes;
       return bytes ? human_bytes(static_cast<double>(*bytes)) : "-";
     }},
    {"check", Grid::Align::kLeft, check_text},
};

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
    std::string on = threads.size() > 1 ? fmt::format(" x{}", p.threads) : "";
    if (p.device) on = devices.size() > 1 ? " device " + *p.device : "";
    if (p.gflops)
      parts.push_back(fmt::format("{} {}{} {}", p.dtype.value_or(""), p.isa, on,
                                  human_flop_rate(*p.gflops * 1e9)));
    if (p.read_gb_s)
      parts.push_back(fmt::format("read{} {}/s", on, human_bytes(*p.read_gb_s * 1e9)));
  }
  return parts.empty() ? "" : "peaks: " + joined(parts);
}

/// Nothing was computed, or it threw: no cell has anything to say.
std::string note_text(const Result& r) {
  const bool computed = r.status == Status::kOk || r.check.verdict == "fail" || r.timing;
  if (computed) return "";
  return r.reason ? fmt::format("{}: {}", name(r.status), *r.reason) : std::string(name(r.status));
}

std::string speedup_number(double ratio) {
  return ratio < 2 ? fmt::format("{:.2f}", ratio) : human_ratio(ratio);
}

std::string label(const Result& r, const std::vector<sweep::Column>& varying) {
  std::vector<std::string> parts;
  for (const sweep::Column& c : varying)
    if (std::string cell = c.cell(r); !c.is_usual(cell))
      parts.push_back(c.is_number() ? c.phrase(cell) : cell);
  return joined(parts);
}

void add_remarks(Grid& grid, const Result& r, const std::vector<sweep::Column>& varying) {
  const std::string where = label(r, varying);
  if (r.speedup_over && r.timing)
    for (const auto& [type, ratio] : *r.speedup_over)
      grid.speedups.push_back(
          fmt::format("{} is {}x as fast as {} ({}{}{} against {})", r.type, speedup_number(ratio),
                      type, where, where.empty() ? "" : ": ", human_seconds(r.timing->median),
                      human_seconds(r.timing->median * ratio)));
  if (r.check.verdict != "fail") return;
  for (const Worst& w : r.check.worst)
    if (!w.error_over_noise || *w.error_over_noise > w.limit)
      grid.failures.push_back(
          fmt::format("WRONG: {}: {}", r.type, verdict_line(w, r.workload.dtype)));
  if (!r.command.empty()) grid.failures.push_back("reproduce: " + r.command);
}

/// What limits a result, and what the algorithms must move beside the time that it took.
void add_reasons(Grid& grid, const Result& r, const std::string& where) {
  const std::string who = fmt::format("{}{}{}", r.type, where.empty() ? "" : ", ", where);
  if (r.why) grid.reasons.push_back(fmt::format("{}: {}", who, *r.why));
  if (const std::string io = io_text(r); !io.empty() && r.timing)
    grid.reasons.push_back(
        fmt::format("{}: {}; took {}", who, io, human_seconds(r.timing->median)));
  if (r.energy_j && r.gflop_per_j)
    grid.reasons.push_back(
        fmt::format("{}: {:.3g} J a call, {:.3g} GFLOP/J", who, *r.energy_j, *r.gflop_per_j));
}

/// Warnings of one kind with one remedy, "throttled: ...; let it cool", from any number of results.
struct WarningGroup {
  std::string kind, first, remedy;  ///< first: what the first of them says, after the kind
  std::vector<std::string> where;   ///< the results, once each
};

void add_warning(std::vector<WarningGroup>& groups, const std::string& where,
                 const std::string& text) {
  const std::size_t colon = std::min(text.find(": "), text.size());
  const std::size_t remedy_at = text.rfind("; ");
  const WarningGroup fresh{text.substr(0, colon),
                           text.substr(colon),
                           remedy_at == std::string::npos ? "" : text.substr(remedy_at),
                           {}};
  auto group = std::find_if(groups.begin(), groups.end(), [&](const WarningGroup& g) {
    return g.kind == fresh.kind && g.remedy == fresh.remedy;
  });
  if (group == groups.end()) group = groups.insert(group, fresh);
  if (std::find(group->where.begin(), group->where.end(), where) == group->where.end())
    group->where.push_back(where);
}

std::vector<std::string> length_lines(const Report& report) {
  std::vector<std::string> lines;
  for (const Crossover& c : report.summary.crossover.value_or(std::vector<Crossover>{}))
    lines.push_back(
        fmt::format("{} overtakes {} at {} = {:.0f} ({})", c.above, c.below, c.parameter, c.at,
                    c.series.empty() ? fmt::format("{}, {}", c.pass, c.dtype) : c.series));
  for (const Lead& l : report.summary.lead)
    lines.push_back(
        fmt::format("{} is faster than {} at every length measured, {} {:.0f} to {:.0f}: {}x to "
                    "{}x ({})",
                    l.faster, l.slower, l.parameter, l.from, l.to, speedup_number(l.ratio[0]),
                    speedup_number(l.ratio[1]), l.series));
  for (const MemoryLimit& m : report.summary.memory_limit)
    lines.push_back(
        fmt::format("{} {} into memory at {} = {:.0f} ({}: {}){}", m.type,
                    m.predicted ? "would no longer fit" : "no longer fits", m.parameter, m.exceeds,
                    m.series.empty() ? fmt::format("{}, {}", m.pass, m.dtype) : m.series, m.reason,
                    m.fits ? fmt::format("; {:.0f} fits", *m.fits) : ""));
  return lines;
}

}  // namespace

std::string workload_text(const Workload& w) {
  return sweep::column_text("workload", sweep::record_of(w));
}

std::string mask_text(const Workload& w) { return sweep::column_text("mask", sweep::record_of(w)); }

std::string mask_phrase(const Workload& w) {
  const std::string mask = mask_text(w);
  return (mask == "none" ? "no mask" : mask) + sweep::others_text(sweep::record_of(w));
}

Grid make_grid(const Report& report, std::span<const sweep::Field> table) {
  std::vector<Result> results = report.results;
  for (Result& r : results) r = published(std::move(r));

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
  grid.caption = joined(constant);
  grid.lengths = length_lines(report);
  for (const Result& r : results)
    if (r.phases || results.size() <= kExplained) add_reasons(grid, r, label(r, varying));

  grid.columns.push_back({"type", Grid::Align::kLeft});
  for (const sweep::Column& c : varying) grid.columns.push_back({c.title, Grid::Align::kLeft});
  grid.measured = grid.columns.size();
  for (const Measured& m : kMeasured) grid.columns.push_back({m.title, m.align});
  for (const Result& r : results) {
    Grid::Row row;
    row.cells.push_back(r.type);
    for (const sweep::Column& c : varying) row.cells.push_back(c.cell(r));
    row.note = note_text(r);
    if (row.note.empty())
      for (const Measured& m : kMeasured) row.cells.push_back(m.cell(r));
    grid.rows.push_back(std::move(row));
    add_remarks(grid, r, varying);
  }
  return grid;
}

std::string result_text(const Result& r) {
  const std::string mask = mask_text(r.workload);
  return fmt::format("{} {} {} {}{}{}", r.type, r.pass, r.workload.dtype, workload_text(r.workload),
                     mask == "none" ? "" : " " + mask, sweep::others_text(r));
}

std::vector<std::string> warning_lines(const Report& report) {
  std::vector<WarningGroup> groups;
  for (const Result& r : report.results)
    for (const std::string& w : r.warnings) add_warning(groups, result_text(r), w);
  std::vector<std::string> lines;
  for (const WarningGroup& g : groups)
    lines.push_back(g.where.size() == 1
                        ? fmt::format("warning: {}: {}{}", g.where[0], g.kind, g.first)
                        : fmt::format("warning: {} in {} of {} results, first {}{}", g.kind,
                                      g.where.size(), report.results.size(), g.where[0], g.first));
  return lines;
}

}  // namespace flashbench::report

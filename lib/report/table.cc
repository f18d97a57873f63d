#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "report/grid.h"
#include "report/units.h"

namespace flashbench::report {
namespace {

/// What an emulated device counted, one row per count; "" where nothing did.
std::string counts_text(const std::vector<Phase>& phases, TableLayout layout) {
  std::vector<Grid::Column> columns = {{"executed by the emulator", Grid::Align::kLeft}};
  std::map<std::string, Grid::Row> rows;
  for (const Phase& p : phases)
    for (const auto& [what, n] : p.counts) rows[what] = {{what}, ""};
  if (rows.empty()) return "";
  for (const Phase& p : phases) {
    columns.push_back({p.phase, Grid::Align::kRight});
    for (auto& [what, row] : rows) {
      const auto found = p.counts.find(what);
      row.cells.push_back(found == p.counts.end() ? "-" : fmt::format("{}", found->second));
    }
  }
  std::vector<Grid::Row> all;
  for (auto& [what, row] : rows) all.push_back(std::move(row));
  return aligned_text(columns, all, layout);
}

std::string share_text(double seconds, double total_s) {
  return total_s > 0 ? fmt::format("{:.1f} %", 100 * seconds / total_s) : "-";
}

/// Of `seconds` of one thread, or of several together.
std::string speed_text(std::optional<double> flop, double seconds) {
  return flop && seconds > 0 ? human_flop_rate(*flop / seconds) : "-";
}

std::string moved_text(std::optional<double> bytes) { return bytes ? human_bytes(*bytes) : "-"; }

std::string intensity_text(std::optional<double> flop, std::optional<double> bytes) {
  return flop && bytes ? fmt::format("{:.1f}", *flop / *bytes) : "-";
}

std::vector<std::string> phase_cells(const Phase& p, double total_s) {
  const double threads = std::max(1.0, static_cast<double>(p.threads.size()));
  return {p.phase,
          p.threads.size() > 1 ? "all" : "",
          fmt::format("{}", p.calls),
          human_seconds(p.seconds),
          share_text(p.seconds, total_s),
          speed_text(p.flop, p.seconds / threads),
          moved_text(p.bytes_moved),
          intensity_text(p.flop, p.bytes_moved),
          human_bytes(static_cast<double>(p.bytes))};
}

/// A row per thread; of many threads the fastest and the slowest say enough.
std::vector<std::vector<std::string>> thread_cells(const Phase& p, double total_s) {
  constexpr std::size_t kMostRows = 8;
  std::vector<std::size_t> shown(p.threads.size());
  std::iota(shown.begin(), shown.end(), std::size_t{0});
  if (shown.size() <= 1) return {};
  if (shown.size() > kMostRows) {
    std::sort(shown.begin(), shown.end(), [&](std::size_t a, std::size_t b) {
      return p.threads[a].seconds < p.threads[b].seconds;
    });
    shown = {shown.front(), shown.back()};
  }
  std::vector<std::vector<std::string>> rows;
  for (const std::size_t t : shown)
    rows.push_back({"", fmt::format("{}", t), fmt::format("{}", p.threads[t].calls),
                    human_seconds(p.threads[t].seconds), share_text(p.threads[t].seconds, total_s),
                    speed_text(p.threads[t].flop, p.threads[t].seconds),
                    moved_text(p.threads[t].bytes_moved),
                    intensity_text(p.threads[t].flop, p.threads[t].bytes_moved)});
  return rows;
}

/// Text under a blank line, or "".
std::string block(const std::vector<std::string>& lines) {
  return lines.empty() ? "" : fmt::format("\n{}\n", fmt::join(lines, "\n"));
}

std::string laid_out(const Grid& grid, const Report& report, std::size_t width) {
  std::string text = grid.machine + "\n";
  if (!grid.peaks.empty()) text += grid.peaks + "\n";
  if (!grid.caption.empty()) text += grid.caption + "\n";
  if (!grid.rows.empty())
    text.append("\n").append(aligned_text(grid.columns, grid.rows, {width, grid.measured}));
  text += block(grid.models) + block(grid.summary) + block(grid.explanations);
  for (const Result& result : report.results) {
    const Result r = published(result);
    if (r.phases)
      text += fmt::format("\nphases of {} {}, {}\n{}", r.type, r.pass, workload_text(r.workload),
                          phases_text(r, width));
  }
  return text;
}

}  // namespace

std::string table_text(const Report& report, std::span<const sweep::Field> table,
                       std::size_t width) {
  Grid grid = make_grid(report, table);
  grid.explanations.clear();
  return laid_out(grid, report, width);
}

std::string explained_table_text(const Report& report, std::size_t width) {
  return laid_out(make_grid(report), report, width);
}

std::string phases_text(const Result& r, std::size_t width) {
  const std::vector<Phase> none;
  const std::vector<Phase>& phases = r.phases ? *r.phases : none;
  if (std::string counts = counts_text(phases, {width}); !counts.empty()) return counts;
  double total_s = 0;
  std::uint64_t calls = 0;
  for (const Phase& p : phases) {
    total_s += p.seconds;
    calls += p.calls;
  }
  std::vector<Grid::Row> rows;
  for (const Phase& p : phases) {
    rows.push_back({phase_cells(p, total_s), ""});
    for (std::vector<std::string>& cells : thread_cells(p, total_s))
      rows.push_back({std::move(cells), ""});
  }
  constexpr std::size_t kSpeed = 5;  // the column at which wide rows fold
  std::string text = aligned_text({{"phase", Grid::Align::kLeft},
                                   {"thread", Grid::Align::kRight},
                                   {"calls", Grid::Align::kRight},
                                   {"thread time", Grid::Align::kRight},
                                   {"share", Grid::Align::kRight},
                                   {"speed", Grid::Align::kRight},
                                   {"moved", Grid::Align::kRight},
                                   {"FLOP/B", Grid::Align::kRight},
                                   {"allocated", Grid::Align::kRight}},
                                  rows, {width, kSpeed});
  if (r.phase_timer_s && total_s > 0)
    text += fmt::format("in a run of its own; its timers took {} a call, {:.1f} % of this time\n",
                        human_seconds(*r.phase_timer_s),
                        100 * *r.phase_timer_s * static_cast<double>(calls) / total_s);
  return text;
}

}  // namespace flashbench::report

#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/grid.h"
#include "report/units.h"

namespace flashbench::report {
namespace {

constexpr std::string_view kGap = "  ";

std::string padded(const std::string& text, std::size_t width, Grid::Align align) {
  const std::string blanks(width - std::min(width, display_width(text)), ' ');
  return align == Grid::Align::kRight ? blanks + text : text + blanks;
}

std::string without_trailing_blanks(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

std::string aligned_text(const std::vector<Grid::Column>& columns,
                         const std::vector<Grid::Row>& rows) {
  std::vector<std::size_t> widths;
  widths.reserve(columns.size());
  for (const Grid::Column& c : columns) widths.push_back(display_width(c.title));
  for (const Grid::Row& row : rows)
    for (std::size_t i = 0; i < row.cells.size(); ++i)
      widths[i] = std::max(widths[i], display_width(row.cells[i]));
  std::string text;
  std::string line;
  for (std::size_t i = 0; i < columns.size(); ++i)
    line += padded(columns[i].title, widths[i], columns[i].align) + std::string(kGap);
  text += without_trailing_blanks(line).append("\n");
  for (const Grid::Row& row : rows) {
    line.clear();
    for (std::size_t i = 0; i < row.cells.size(); ++i)
      line += padded(row.cells[i], widths[i], columns[i].align) + std::string(kGap);
    text += without_trailing_blanks(line + row.note).append("\n");
  }
  return text;
}

std::string table_text(const Report& report) {
  const Grid grid = make_grid(report);
  std::string text = grid.machine + "\n";
  if (!grid.peaks.empty()) text += grid.peaks + "\n";
  if (!grid.caption.empty()) text += grid.caption + "\n";
  if (!grid.rows.empty()) text.append("\n").append(aligned_text(grid.columns, grid.rows));
  for (const std::vector<std::string>* lines : {&grid.failures, &grid.speedups})
    if (!lines->empty()) text += fmt::format("\n{}\n", fmt::join(*lines, "\n"));
  for (const Result& result : report.results) {
    const Result r = published(result);
    if (r.phases)
      text += fmt::format("\nphases of {} {}, {}\n{}", r.type, r.pass, workload_text(r.workload),
                          phases_text(*r.phases));
  }
  return text;
}

std::string phases_text(const std::vector<Phase>& phases) {
  double total_s = 0;
  for (const Phase& p : phases) total_s += p.seconds;
  std::vector<Grid::Row> rows;
  rows.reserve(phases.size());
  for (const Phase& p : phases)
    rows.push_back({{p.phase, human_seconds(p.seconds),
                     total_s > 0 ? fmt::format("{:.1f} %", 100 * p.seconds / total_s) : "-",
                     fmt::format("{}", p.calls), human_bytes(static_cast<double>(p.bytes))},
                    ""});
  return aligned_text({{"phase", Grid::Align::kLeft},
                       {"thread time", Grid::Align::kRight},
                       {"share", Grid::Align::kRight},
                       {"calls", Grid::Align::kRight},
                       {"allocated", Grid::Align::kRight}},
                      rows);
}

}  // namespace flashbench::report

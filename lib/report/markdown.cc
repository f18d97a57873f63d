#include "report/markdown.h"

#include <fmt/format.h>

#include "report/grid.h"
#include "report/warning_lines.h"
#include "system/quote.h"

namespace flashbench::report {
namespace {

std::string line(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

std::string list(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += "- " + markdown_escaped(item) + "\n";
  return text;
}

}  // namespace

std::string markdown_escaped(const std::string& text) {
  std::string out;
  for (const char c : escape(text)) {
    if (c == '|' || c == '\\' || c == '`' || c == '*' || c == '_' || c == '<') out += '\\';
    out += c;
  }
  return out;
}

std::string markdown_table(const std::vector<Grid::Column>& columns,
                           const std::vector<Grid::Row>& rows) {
  std::vector<std::string> titles, rules;
  for (const Grid::Column& c : columns) {
    titles.push_back(c.title);
    rules.push_back(c.align == Grid::Align::kRight ? "---:" : "---");
  }
  std::string text = line(titles) + line(rules);
  for (const Grid::Row& row : rows) {
    std::vector<std::string> cells;
    for (const std::string& cell : row.cells) cells.push_back(markdown_escaped(cell));
    if (!row.note.empty()) cells.push_back(markdown_escaped(row.note));
    cells.resize(columns.size());
    text += line(cells);
  }
  return text;
}

std::string markdown_text(const Report& report, std::span<const sweep::Field> table) {
  const Grid grid = make_grid(report, table);
  std::string text = markdown_escaped(grid.machine) + "  \n";
  if (!grid.peaks.empty()) text += markdown_escaped(grid.peaks) + "  \n";
  if (!grid.caption.empty()) text += markdown_escaped(grid.caption) + "\n";
  text += "\n";

  text += markdown_table(grid.columns, grid.rows);
  const std::string remarks = list(grid.models) + list(grid.summary) + list(warning_lines(report));
  return remarks.empty() ? text : text + "\n" + remarks;
}

}  // namespace flashbench::report

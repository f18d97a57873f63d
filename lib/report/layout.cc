#include "report/layout.h"

#include <algorithm>

#include "report/units.h"

namespace flashbench::report {
namespace {

constexpr std::string_view kGap = "  ";
constexpr std::size_t kIndent = 4;  ///< of the later lines of a folded row
/// A left-aligned last column holds sentences, which go on below where the line is full: it asks
/// for no more room than this.
constexpr std::size_t kSentence = 12;

std::string padded(const std::string& text, std::size_t width, Grid::Align align) {
  const std::string blanks(width - std::min(width, display_width(text)), ' ');
  return align == Grid::Align::kRight ? blanks + text : text + blanks;
}

/// The characters that each column takes.
std::vector<std::size_t> widths_of(const std::vector<Grid::Column>& columns,
                                   const std::vector<Grid::Row>& rows) {
  std::vector<std::size_t> widths;
  widths.reserve(columns.size());
  for (const Grid::Column& c : columns) widths.push_back(display_width(c.title));
  for (const Grid::Row& row : rows)
    for (std::size_t i = 0; i < row.cells.size(); ++i)
      widths[i] = std::max(widths[i], display_width(row.cells[i]));
  return widths;
}

/// Columns [begin, end) stand in one line.
struct Chunk {
  std::size_t begin, end;
};

std::vector<Chunk> chunks_of(const std::vector<std::size_t>& widths, TableLayout layout) {
  std::size_t whole = 0;
  for (const std::size_t w : widths) whole += w + kGap.size();
  if (whole <= layout.width + kGap.size()) return {{0, widths.size()}};
  std::vector<Chunk> chunks;
  std::size_t begin = 0, at = 0;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const bool full = i > begin && at + widths[i] > layout.width;
    if (full || (i > 0 && i == layout.fold)) {
      chunks.push_back({begin, i});
      begin = i;
      at = kIndent;
    }
    at += widths[i] + kGap.size();
  }
  chunks.push_back({begin, widths.size()});
  return chunks;
}

std::string trimmed(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

/// Prints rows, and titles.
struct Printer {
  const std::vector<Grid::Column>& columns;
  const std::vector<std::size_t>& widths;
  const std::vector<Chunk> chunks;
  std::size_t width;

  std::string line(const std::vector<std::string>& cells, Chunk chunk) const {
    std::string text(chunk.begin == 0 ? 0 : kIndent, ' ');
    for (std::size_t i = chunk.begin; i < std::min(chunk.end, cells.size()); ++i) {
      const bool sentence = i + 1 == columns.size() && columns[i].align == Grid::Align::kLeft;
      text = sentence ? followed(text, cells[i])
                      : text + padded(cells[i], widths[i], columns[i].align) + std::string(kGap);
    }
    return text;
  }

  /// A sentence behind what a line already has, or where it does not fit there, below that.
  std::string followed(const std::string& line, const std::string& sentence) const {
    if (sentence.empty() || display_width(line) + display_width(sentence) <= width)
      return line + sentence;
    return trimmed(line) + "\n" + std::string(kIndent, ' ') + wrapped(sentence, kIndent, width);
  }

  std::string row(const std::vector<std::string>& cells, const std::string& note) const {
    std::string text, last;
    for (const Chunk chunk : chunks) {
      if (chunk.begin > 0 && chunk.begin >= cells.size()) break;
      if (chunk.begin > 0) text += trimmed(std::move(last)) + "\n";
      last = line(cells, chunk);
    }
    return text + trimmed(followed(last, note)) + "\n";
  }
};

}  // namespace

std::string wrapped(std::string_view text, std::size_t column, std::size_t width) {
  std::string out;
  std::size_t at = column;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string word(text.substr(0, space));
    const std::size_t length = display_width(word);
    if (at > column && at + 1 + length > width) {
      out += '\n' + std::string(column, ' ');
      at = column;
    } else if (at > column) {
      out += ' ';
      ++at;
    }
    out += word;
    at += length;
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
  }
  return out;
}

namespace {

/// The column behind a label, "cores       2 cores": where the first run of blanks between words
/// ends; 0 where there is none on the left.
std::size_t behind_label(std::string_view line, std::size_t indent) {
  constexpr std::size_t kMost = 30;
  const std::size_t gap = line.find(kGap, indent);
  if (gap == line.npos) return 0;
  const std::size_t next = line.find_first_not_of(' ', gap);
  return next == line.npos || next > kMost ? 0 : next;
}

std::string folded_line(std::string_view line, std::size_t width) {
  const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
  if (display_width(std::string(line)) <= width || line.substr(indent).starts_with("reproduce"))
    return std::string(line);
  if (const std::size_t column = behind_label(line, indent); column > 0)
    return std::string(line.substr(0, column)) + wrapped(line.substr(column), column, width);
  return std::string(indent, ' ') + wrapped(line.substr(indent), indent + 2, width);
}

}  // namespace

std::string folded(std::string_view text, std::size_t width) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out += folded_line(text.substr(0, end), width);
    if (end == text.npos) break;
    out += '\n';
    text.remove_prefix(end + 1);
  }
  return out;
}

std::string aligned_text(const std::vector<Grid::Column>& columns,
                         const std::vector<Grid::Row>& rows, TableLayout layout) {
  const std::vector<std::size_t> widths = widths_of(columns, rows);
  std::vector<std::size_t> needed = widths;
  if (!needed.empty() && columns.back().align == Grid::Align::kLeft)
    needed.back() = std::min(needed.back(), kSentence);
  const Printer printer{columns, widths, chunks_of(needed, layout), layout.width};
  std::vector<std::string> titles;
  for (const Grid::Column& c : columns) titles.push_back(c.title);
  std::string text = printer.row(titles, "");
  for (const Grid::Row& row : rows) text += printer.row(row.cells, row.note);
  return text;
}

}  // namespace flashbench::report

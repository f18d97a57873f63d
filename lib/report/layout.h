#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "report/grid.h"

namespace flashbench::report {

/// Characters in a line of a table where no terminal says how many it has.
inline constexpr std::size_t kTableWidth = 80;

/// How a table is laid out.
struct TableLayout {
  std::size_t width = kTableWidth;
  /// The column at which a row that is too wide is folded; 0: wherever a line is full.
  std::size_t fold = 0;
};

/// Rows under their titles. A row may be shorter than `columns`; its note follows where it ends.
/// What is wider than the layout takes several lines a row, titles as well, the later ones
/// indented.
std::string aligned_text(const std::vector<Grid::Column>& columns,
                         const std::vector<Grid::Row>& rows, TableLayout layout = {});

/// Breaks `text`, which begins at `column`, at blanks, so that lines end before `width`; lines
/// after the first are indented to `column`.
std::string wrapped(std::string_view text, std::size_t column, std::size_t width);

/// Lines of `text` that are wider go on below, at a blank, under what follows their label (two
/// blanks end one) or indented a little. A command that is to be copied ("reproduce ...") stays
/// whole.
std::string folded(std::string_view text, std::size_t width);

}  // namespace flashbench::report

#pragma once

#include <string>
#include <vector>

#include "report/grid.h"
#include "report/record.h"

namespace flashbench::report {

/// Text that Markdown shows as it is, inside a table too.
std::string markdown_escaped(const std::string& text);

/// The rows as a table; a row's note stands in the place of the cells that it lacks.
std::string markdown_table(const std::vector<Grid::Column>& columns,
                           const std::vector<Grid::Row>& rows);

/// A table fit for a pull request, with the machine above and remarks below it.
std::string markdown_text(const Report& report,
                          std::span<const sweep::Field> table = sweep::fields());

}  // namespace flashbench::report

#pragma once

#include <string>
#include <vector>

#include "report/grid.h"
#include "report/record.h"

namespace flashbench::report {

/// For a terminal: the machine, what all results share, one aligned row a result, then a summary of
/// at most five lines, and phases. UTF-8, no colour, a newline at the end.
std::string table_text(const Report& report, std::span<const sweep::Field> table = sweep::fields());

/// The same with every comparison, and what limits each result, below the summary.
std::string explained_table_text(const Report& report);

/// Rows under their titles. A row may be shorter than `columns`; its note follows where it ends.
std::string aligned_text(const std::vector<Grid::Column>& columns,
                         const std::vector<Grid::Row>& rows);

/// Time by phase, then by thread: calls, time (of all threads), share, speed of the products on all
/// threads together, bytes allocated; at the end what the timers took. Empty without phases.
std::string phases_text(const Result& result);

}  // namespace flashbench::report

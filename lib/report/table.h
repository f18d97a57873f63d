#pragma once

#include <string>
#include <vector>

#include "report/grid.h"
#include "report/layout.h"
#include "report/record.h"

namespace flashbench::report {

/// For a terminal of so many characters a line: the machine, what all results share, the aligned
/// rows, one a result, then a summary of at most five lines, and phases. UTF-8, no colour, a
/// newline at the end.
std::string table_text(const Report& report, std::span<const sweep::Field> table = sweep::fields(),
                       std::size_t width = kTableWidth);

/// The same with every comparison, and what limits each result, below the summary.
std::string explained_table_text(const Report& report, std::size_t width = kTableWidth);

/// Time by phase, then by thread: calls, time (of all threads), share, speed of the products on all
/// threads together, bytes allocated; at the end what the timers took. Empty without phases.
std::string phases_text(const Result& result, std::size_t width = kTableWidth);

}  // namespace flashbench::report

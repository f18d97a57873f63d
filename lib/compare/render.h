#pragma once

#include <string>

#include "compare/comparison.h"
#include "report/layout.h"

namespace flashbench::compare {

/// For a terminal of so many characters a line: both sides, what differs between them, a row a
/// case, and in words what the verdicts mean. UTF-8, no colour, a newline at the end.
std::string table_text(const Comparison& c, std::size_t width = report::kTableWidth);

/// The same for a pull request: a sentence, the cases that changed, the others folded away.
std::string markdown_text(const Comparison& c);

/// The same for programs; the fields are in the room's README. Finite numbers or null.
std::string json_text(const Comparison& c, const std::vector<std::string>& argv);

/// "4 cases: 1 SLOWER, 3 SAME; geometric mean of the ratios 1.012 [1.008 .. 1.017], new takes 1.2 %
/// longer"; where the interval holds 1, that nobody can tell.
std::string summary_line(const Comparison& c);

}  // namespace flashbench::compare

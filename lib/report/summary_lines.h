#pragma once

#include <functional>
#include <string>
#include <vector>

#include "report/record.h"

namespace flashbench::report {

/// Lines of a summary at most.
inline constexpr std::size_t kSummaryLines = 5;

/// What tells a result apart from the others of its report: "causal, 2 threads"; may be "".
using Label = std::function<std::string(const Result&)>;

/// What the results say together, at most kSummaryLines, the headline first: what is wrong, who is
/// faster and how surely, where that changes, where memory ends, shares of the peak; how to read
/// the table, if there is room. Results as published().
std::vector<std::string> summary_lines(const Report& report, const Label& label);

/// The same case by case, for --explain: every wrong output, every comparison, every sweep, and
/// what limits each result.
std::vector<std::string> explanation_lines(const Report& report, const Label& label);

}  // namespace flashbench::report

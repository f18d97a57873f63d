#pragma once

#include <optional>
#include <string>

#include "report/record.h"

namespace flashbench::report {

/// Fills intensity, balance, bound and why of every result whose numbers hold, from the peaks of
/// the report: one pair of peaks decides all four, so that they agree. What an earlier run has
/// explained stays.
void derive_explanations(Report& report);

/// One sentence on what limits a result and how near it comes, for a person. Needs pct_peak, bound,
/// intensity and balance; nullopt without them.
std::optional<std::string> explanation(const Result& result);

/// "must move 2.21 GB as normal, 1.09 GB as paper, 33.7 MB as flash"; empty where it is unknown.
std::string io_text(const Result& result);

}  // namespace flashbench::report

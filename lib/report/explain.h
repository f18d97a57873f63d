#pragma once

#include <optional>
#include <string>

#include "report/record.h"

namespace flashbench::report {

/// Fills intensity, balance and bound of every result whose numbers hold, from the peaks of the
/// report: one balance, so that `bound` and `why` agree. What an earlier run has explained stays.
void derive_bounds(Report& report);

/// Fills `why` of every result whose numbers hold; needs derive_bounds().
void derive_explanations(Report& report);

/// One sentence on what limits a result and how near it comes, for a person who knows neither this
/// program nor rooflines. Needs bound, intensity and balance; nullopt without them.
std::optional<std::string> explanation(const Result& result);

/// "between memory and the caches normal has to move 2.21 GB, paper 1.09 GB, flash 33.7 MB (...)",
/// with what each number depends on; empty where it is unknown.
std::string io_text(const Result& result);

}  // namespace flashbench::report

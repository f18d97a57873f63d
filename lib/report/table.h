#pragma once

#include <string>

#include "report/record.h"

namespace flashbench::report {

/// For a terminal: the machine, what all results share, one aligned row a result, then failures,
/// speedups and phases. UTF-8, no colour, a newline at the end.
std::string table_text(const Report& report);

/// Time by phase: phase, time (summed over threads), share, calls, bytes allocated.
std::string phases_text(const std::vector<Phase>& phases);

}  // namespace flashbench::report

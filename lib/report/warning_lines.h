#pragma once

#include <string>
#include <vector>

#include "report/record.h"

namespace flashbench::report {

/// For stderr: one line a kind, "warning: noisy in 3 of 8 results, the worst flash forward ...:
/// ...; remedy". The worst kinds first and three at most; a last line counts the others, which the
/// JSON has.
std::vector<std::string> warning_lines(const Report& report);

}  // namespace flashbench::report

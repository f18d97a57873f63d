#pragma once

#include <string>

#include "report/record.h"

namespace flashbench::report {

/// A header and one row a result, numbers as in the JSON, null as an empty field, quoted as RFC
/// 4180 has it. Raw samples are in the JSON only.
std::string csv_text(const Report& report, std::span<const sweep::Field> table = sweep::fields());

}  // namespace flashbench::report

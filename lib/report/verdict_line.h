#pragma once

#include <string>
#include <string_view>

#include "report/record.h"

namespace flashbench::report {

/// "o" is O, "dq" is dQ, and so on; the name of an identity stays as it is.
std::string tensor_label(std::string_view tensor);

/// Where in that tensor an element is, by the axes that it has: "0,1,17,3", of LSE "0,1,17", of a
/// head's sink "1".
std::string index_text(std::string_view tensor, const std::array<std::int64_t, 4>& index);

/// The output nearest to its limit, or beyond it most; null where none was checked.
const Worst* worst_output(const Check& check);

/// "dQ 35x of expected bf16 rounding (limit 2x), worst at [0,1,17,3]: got 0.5, expected 0.25", and
/// what that looks like, where it is known. `dtype`: of the workload (LSE is f32 whatever that is).
std::string verdict_line(const Worst& worst, std::string_view dtype);

/// Short, for a table: "pass 0.4x", "pass 0.4x of a sample", "FAIL dQ 35x", "not verified".
/// `usual`: the level that goes without saying.
std::string verdict_cell(const Check& check, std::string_view usual = "full");

}  // namespace flashbench::report

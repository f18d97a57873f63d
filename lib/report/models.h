#pragma once

#include <span>
#include <string>
#include <vector>

#include "report/record.h"

namespace flashbench::report {

/// Of each model, pass, type, dtype (that of K and V, too) and pair of lengths the sum over its
/// layers, in the order of the results. Nothing of where a part has no time: a sum that lacks one
/// is no model's.
std::vector<ModelTime> model_times(std::span<const Result> results);

/// "Gemma 2 9B, 42 layers forward, bf16, b1 4096x4096: flash 1.021 ± 0.011 s (81 % of peak), normal
/// 2.1 ± 0.1 s; flash is 2.06x [1.98, 2.14] as fast", a line for all types of each.
std::vector<std::string> model_lines(const std::vector<ModelTime>& models);

}  // namespace flashbench::report

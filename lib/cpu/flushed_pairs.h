#pragma once

#include <cstdint>

#include "cpu/tile_ops.h"

namespace flashbench::cpu {

/// Would products of pairs of bf16, which take subnormal numbers for 0 (vdpbf16ps), lose something
/// of the scores of these queries? They do where one of the `rows` of d elements in `q`, which is
/// bf16, holds such a number, or one so large that a subnormal one in K counts beside it. `scale`:
/// of the scores.
bool pairs_lose(const RowSource& q, std::int64_t rows, std::int64_t d, double scale);

}  // namespace flashbench::cpu

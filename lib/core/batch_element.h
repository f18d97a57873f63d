#pragma once

#include <cstdint>

#include "core/problem.h"
#include "core/tensor.h"

// One sequence of a ragged batch, as a problem of its own, over the same memory.
namespace flashbench {

/// [1, h, rows, d]. Empty where `t` is.
Tensor batch_element(Tensor& t, std::int64_t b);

/// What sequence(p, b) reads.
Inputs batch_element(const Problem& p, const Inputs& in, std::int64_t b);

/// What it writes. dsinks, which all sequences share, is empty.
Outputs batch_element(Outputs& out, std::int64_t b);

}  // namespace flashbench

#pragma once

#include <cstdint>
#include <span>

#include "core/tensor.h"

namespace flashbench::oracle {

/// In how many directions rows of head (b, h) differ, [1, d]: sums of them with random weights have
/// as many independent elements. The participation ratio (Σλ)²/Σλ² of the eigenvalues of their
/// channels' correlations, estimated from 32 of `rows`; d where these are too few to tell.
double directions(const Tensor& x, std::int64_t b, std::int64_t h,
                  std::span<const std::int64_t> rows);

}  // namespace flashbench::oracle

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"
#include "oracle/definition.h"

namespace flashbench::oracle {

/// In how many directions rows of head (b, h) differ, [1, d]: sums of them with random weights have
/// as many independent elements. The participation ratio (Σλ)²/Σλ² of the eigenvalues of their
/// channels' correlations, estimated from 32 of `rows`; d where these are too few to tell.
double directions(const TensorValues& x, std::int64_t b, std::int64_t h,
                  std::span<const std::int64_t> rows);

/// Those of a K/V head and of the first query head of its group, over the rows that count; of Q, K
/// and dO only with gradients. O are sums of V, dQ of K, dK of Q, dV of dO.
struct HeadDirections {
  double q = 0, k = 0, v = 0, d_o = 0;
};

/// Of every K/V head, in order of b and h_kv; in parallel.
std::vector<HeadDirections> head_directions(const Definition& def);

}  // namespace flashbench::oracle

#pragma once

#include <cstdint>

#include "oracle/panel.h"

namespace flashbench::oracle {

/// A matrix of which a tile is written: rows `stride` apart.
struct TileOf {
  double* data;
  std::int64_t stride;
};

/// Adds left·rightᵀ to `sums` [left.rows, right.rows], both 0 before: Q·Kᵀ or dO·Vᵀ, with right
/// transposed. `squares` gets what the noise of an f32 sum of as many terms needs beside its result
/// (sum_noise): the sum of their squares, and by how much the square of the largest partial sum,
/// looked at every 24 terms, exceeds that of the result. Channels of real tensors are not in random
/// order: sums over them may go far and come back.
void add_products(const Panel& left, const Panel& right, TileOf sums, TileOf squares);

}  // namespace flashbench::oracle

#pragma once

#include <cstdint>

#include "oracle/panel.h"

namespace flashbench::oracle {

/// A tile of a matrix, rows `stride` apart.
struct MatrixTile {
  double* data;
  std::int64_t stride;
};

/// Adds left·rightᵀ to `sums` [left.rows, right.rows], 0 before: Q·Kᵀ or dO·Vᵀ, with right
/// transposed. To `spread`, 0 before, what sum_noise() wants as the squares of their terms: these,
/// and by how much the square of the largest partial sum exceeds that of the result.
void add_products(const Panel& left, const Panel& right, MatrixTile sums, MatrixTile spread);

}  // namespace flashbench::oracle

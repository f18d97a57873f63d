#pragma once

#include "cuda/simt_f32/simt_f32_tiles.cuh"

// How the backward recomputes the weights P.
namespace flashbench::cuda::simt {

/// What a query row brings to the backward.
struct QueryRow {
  KeyRange sees;  ///< kept keys
  float max, log2_sum;
  float delta;
};

/// `q` must lie below q_len.
__device__ inline QueryRow query_row(const Attention& a, int b, int h, int q) {
  const std::int64_t at = (static_cast<std::int64_t>(b) * a.h + h) * a.q_len + q;
  return {keys(a, b, q), a.row_max[at], a.row_log2_sum[at], a.delta[at]};
}

/// The weight of kept key `key` in a query's row, from their score. Hidden keys weigh nothing.
__device__ inline float weight(const Attention& a, const QueryRow& row, int key, float score) {
  return row.sees.holds(key) ? exp2f(fmaf(score - row.max, a.scale_log2, -row.log2_sum)) : 0.0f;
}

}  // namespace flashbench::cuda::simt

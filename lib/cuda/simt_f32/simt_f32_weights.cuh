#pragma once

#include "cuda/simt_f32/simt_f32_tiles.cuh"

// How the backward recomputes the weights P = exp(S - LSE).
namespace flashbench::cuda::simt {

/// What a query row brings to the backward.
struct QueryRow {
  KeyRange sees;   ///< kept keys
  float lse_log2;  ///< LSE·log2(e)
  float delta;
};

/// `q` must lie below q_len.
__device__ inline QueryRow query_row(const Attention& a, int b, int h, int q) {
  constexpr float kLog2E = 1.44269504088896341f;
  const std::int64_t at = (static_cast<std::int64_t>(b) * a.h + h) * a.q_len + q;
  return {keys(a, b, q), a.lse[at] * kLog2E, a.delta[at]};
}

/// The weight of kept key `key` in a query's row, from their score. Hidden keys weigh nothing: in
/// a row that sees nothing LSE is -inf, and only this keeps its NaN away.
__device__ inline float weight(const Attention& a, const QueryRow& row, int key, float score) {
  return row.sees.holds(key) ? exp2f(fmaf(score, a.scale_log2, -row.lse_log2)) : 0.0f;
}

}  // namespace flashbench::cuda::simt

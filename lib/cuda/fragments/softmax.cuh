#pragma once

#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/rows.cuh"

/// What softmax keeps of each row, and its gradient, on accumulators.
namespace flashbench::cuda::fragments {

/// Per row: the largest score so far and this thread's part of the sum of exp. A thread holds
/// two rows of each row tile, four threads share a row.
template <int kRowTiles>
struct RunningSoftmax {
  float max[kRowTiles][2], sum[kRowTiles][2];

  __device__ __forceinline__ void reset() {
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
      for (int half = 0; half < 2; ++half) {
        max[t][half] = -kInf;
        sum[t][half] = 0.0f;
      }
  }
};

/// Of the two rows that a thread holds of row tile `t`, the first of which is row `row` of the
/// block: LSE = ln 2·max + ln sum, -inf for a row that saw nothing; and the factors for O, 1 / sum
/// or 0.
template <int kRowTiles>
__device__ __forceinline__ void finish_rows(const Attention& a, const QueryBlock& block, int row,
                                            const RunningSoftmax<kRowTiles>& state, int t,
                                            float scale_log2, float (&inverse)[2]) {
  float* lse = a.lse + (static_cast<std::int64_t>(block.b) * a.h + block.h) * a.q_len;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float sum = sum_of_four_lanes(state.sum[t][half]);
    inverse[half] = sum == 0.0f ? 0.0f : 1.0f / sum;
    const int q = block.first_row + row + fragment_row(half);
    if (q < a.q_len && fragment_column() == 0)
      lse[q] = sum == 0.0f ? -kInf : state.max[t][half] * scale_log2 * kLn2 + logf(sum);
  }
}

/// LSE and D of the rows that a thread holds.
template <int kRowTiles>
struct RowStatistics {
  float lse_log2[kRowTiles][2], delta[kRowTiles][2];

  __device__ __forceinline__ void load(const Attention& a, int b, int h, int first) {
    const std::int64_t values = row_offset(a, b, h);
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int q = first + warp_row<kRowTiles>() + 16 * t + fragment_row(half);
        lse_log2[t][half] = q < a.q_len ? a.lse[values + q] * kLog2E : 0.0f;
        delta[t][half] = q < a.q_len ? a.delta[values + q] : 0.0f;
      }
  }
};

/// P = exp(scale·s - LSE).
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void recompute_p(Fragments<kRowTiles, kColumns>& s,
                                            const RowStatistics<kRowTiles>& values,
                                            float scale_log2) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        s[t][n][c] = exp2_fast(fmaf(s[t][n][c], scale_log2, -values.lse_log2[t][c / 2]));
}

/// dS = P∘(dP - D), in place of dP.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void softmax_gradient(Fragments<kRowTiles, kColumns>& dp,
                                                 const Fragments<kRowTiles, kColumns>& p,
                                                 const RowStatistics<kRowTiles>& values) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) dp[t][n][c] = p[t][n][c] * (dp[t][n][c] - values.delta[t][c / 2]);
}

/// Pᵀ = exp(scale·sᵀ - LSE): here queries are columns, and their LSE lies in shared memory.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void recompute_p_transposed(Fragments<kRowTiles, kColumns>& s,
                                                       std::uint32_t lse, float scale_log2) {
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
    const float2 l =
        load_shared_pair(lse + static_cast<std::uint32_t>(fragment_column() * 4) + 32 * n);
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        s[t][n][c] = exp2_fast(fmaf(s[t][n][c], scale_log2, -kLog2E * (c % 2 == 0 ? l.x : l.y)));
  }
}

/// dSᵀ = Pᵀ∘(dPᵀ - D), in place of dPᵀ.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void softmax_gradient_transposed(Fragments<kRowTiles, kColumns>& dp,
                                                            const Fragments<kRowTiles, kColumns>& p,
                                                            std::uint32_t delta) {
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
    const float2 d =
        load_shared_pair(delta + static_cast<std::uint32_t>(fragment_column() * 4) + 32 * n);
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        dp[t][n][c] = p[t][n][c] * (dp[t][n][c] - (c % 2 == 0 ? d.x : d.y));
  }
}

}  // namespace flashbench::cuda::fragments

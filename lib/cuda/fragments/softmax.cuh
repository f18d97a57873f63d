#pragma once

#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/rows.cuh"
#include "cuda/fragments/score_change.cuh"
#include "cuda/fragments/sinks.cuh"

/// What softmax keeps of each row, and its gradient, on accumulators.
namespace flashbench::cuda::fragments {

/// Scores become exponents as factor·s - shift: one FMA, whose product is exact. What rounding the
/// shift leaves, 2^-24 of it, is in the sum too and cancels.
struct Shift {
  float factor, shift;
};

/// The shift of a row whose maximum is `max`; exponents are at most -headroom. From 2^27 on the
/// remainder would leave f16's range, and neighbouring f32 scores are more than 2^3 apart in P: a
/// factor that is a power of two, at least half of the scale, makes the shift exact.
__device__ __forceinline__ Shift shift_of(float max, float scale_log2, float headroom) {
  const float power_of_two = __uint_as_float(__float_as_uint(scale_log2) & 0xff800000u);
  const float factor = fabsf(max * scale_log2) < 0x1p27f ? scale_log2 : power_of_two;
  return {factor, fmaf(max, factor, headroom)};
}

/// The factor for sums of exponentials that had the shift `old` of a row whose maximum was
/// `old_max`, so that they go with `by`. Where the factors of scores differ, the old sums are below
/// 2^-8 of one new exponential whose score is uncertain by as much: they are dropped, as are the
/// zeros of a row that had seen nothing.
__device__ __forceinline__ float rescaling(float old_max, const Shift& old, const Shift& by) {
  return old_max != -kInf && old.factor == by.factor ? exp2_fast(old.shift - by.shift) : 0.0f;
}

/// The exponent of a row's maximum: minus the headroom, and what rounding the shift left.
__device__ __forceinline__ float exponent_of_max(float max, const Shift& by) {
  return fmaf(max, by.factor, -by.shift);
}

/// log2 of the sum of exp2((s - max)·scale_log2) of a row that saw something.
__device__ __forceinline__ float log2_sum_of(float max, float sum, const Shift& by) {
  return log2f(sum) - exponent_of_max(max, by);
}

/// Per row: the largest score so far, what it makes of scores, and this thread's part of the sum of
/// exp. A thread holds two rows of each row tile, four threads share a row.
template <int kRowTiles>
struct RunningSoftmax {
  float max[kRowTiles][2], sum[kRowTiles][2];
  Shift by[kRowTiles][2];

  __device__ __forceinline__ void reset() {
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
      for (int half = 0; half < 2; ++half) {
        max[t][half] = -kInf;
        sum[t][half] = 0.0f;
        by[t][half] = {1.0f, 0.0f};  // hidden scores, -inf, become -inf
      }
  }

  /// From now on a row's maximum is `to`. Returns the factor for what was summed before.
  __device__ __forceinline__ float raise(int t, int half, float to, float scale_log2,
                                         float headroom) {
    const Shift old = by[t][half];
    by[t][half] = shift_of(to, scale_log2, headroom);
    const float rescale = rescaling(max[t][half], old, by[t][half]);
    max[t][half] = to;
    sum[t][half] *= rescale;
    return rescale;
  }
};

/// Scores become P = exp(scale·s - max); the sum and O are rescaled where the maximum rose.
/// `scale_log2` is positive: the maximum is taken before scaling, so that both are one FMA.
template <int kRowTiles, int kColumns, int kD>
__device__ __forceinline__ void absorb(Fragments<kRowTiles, kColumns>& s,
                                       RunningSoftmax<kRowTiles>& state,
                                       Fragments<kRowTiles, kD>& o, float scale_log2) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float max = state.max[t][half];
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n)
        max = fmaxf(max, fmaxf(s[t][n][2 * half], s[t][n][2 * half + 1]));
      max = max_of_four_lanes(max);
      // The maximum settles within a few tiles; from then on sums and O are left alone.
      const bool rises = max > state.max[t][half];
      if (__any_sync(0xffffffffu, rises)) {
        const float rescale = rises ? state.raise(t, half, max, scale_log2, 0.0f) : 1.0f;
#pragma unroll
        for (int n = 0; n < kD / 8; ++n) {
          o[t][n][2 * half] *= rescale;
          o[t][n][2 * half + 1] *= rescale;
        }
      }
      const Shift by = state.by[t][half];
      float sum = state.sum[t][half];
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
        for (int c = 2 * half; c < 2 * half + 2; ++c) {
          s[t][n][c] = exp2_fast(fmaf(s[t][n][c], by.factor, -by.shift));
          sum += s[t][n][c];
        }
      state.sum[t][half] = sum;
    }
}

/// Row `at` of all rows, of a head that has a sink: LSE and what the backward needs, and the factor
/// for O, which was that of the keys alone. One lane of a row writes.
__device__ __forceinline__ void finish_row_with_sink(const Attention& a, std::int64_t at,
                                                     bool writes, float sink, float max, float sum,
                                                     const Shift& by, float scale_log2,
                                                     float& inverse) {
  const bool saw_some = sum > 0.0f;
  if (!saw_some) max = 0.0f;
  const float log2_sum = saw_some ? log2_sum_of(max, sum, by) : kInf;
  const SinkEffect effect =
      saw_some ? sink_effect(sink, max, scale_log2, log2_sum) : SinkEffect{0.0f, 0.0f, sink};
  inverse *= effect.keys;
  if (!writes) return;
  a.lse[at] = effect.lse;
  if (a.row_max == nullptr) return;
  a.row_max[at] = a.scale < 0.0f && !changes_scores(a) ? -max : max;
  a.row_log2_sum[at] = log2_sum + effect.log2_rise;
}

/// The factor for O of a row whose exponentials have that sum: 0 where it saw nothing.
__device__ __forceinline__ float inverse_of(float sum) { return sum == 0.0f ? 0.0f : 1.0f / sum; }

/// The factors for O of the two rows that a thread holds of row tile `t`.
template <int kRowTiles>
__device__ __forceinline__ void inverse_sums(const RunningSoftmax<kRowTiles>& state, int t,
                                             float (&inverse)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half)
    inverse[half] = inverse_of(sum_of_four_lanes(state.sum[t][half]));
}

/// Of the two rows that a thread holds of row tile `t`, the first of which is row `row` of the
/// block: LSE = ln 2·(max·scale_log2 + log2_sum), -inf for a row that saw nothing; what the
/// backward needs of the row; and the factors for O, 1 / sum or 0.
template <Variant kVariant = Variant::kPlain, int kRowTiles>
__device__ __forceinline__ void finish_rows(const Attention& a, const QueryBlock& block, int row,
                                            const RunningSoftmax<kRowTiles>& state, int t,
                                            float scale_log2, float (&inverse)[2]) {
  const std::int64_t values = row_offset(a, block.b, block.h);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float sum = sum_of_four_lanes(state.sum[t][half]);
    inverse[half] = inverse_of(sum);
    const int q = block.first_row + row + fragment_row(half);
    if constexpr (kVariant == Variant::kGeneral)
      if (a.sinks != nullptr) {
        const bool writes = q < a.q_len && fragment_column() == 0;
        finish_row_with_sink(a, values + q, writes, a.sinks[block.h], state.max[t][half], sum,
                             state.by[t][half], scale_log2, inverse[half]);
        continue;
      }
    if (q >= a.q_len || fragment_column() != 0) continue;
    const bool saw_some = sum > 0.0f;
    const float max = saw_some ? state.max[t][half] : 0.0f;
    const Shift by = state.by[t][half];
    const float log2_sum = saw_some ? log2_sum_of(max, sum, by) : kInf;
    a.lse[values + q] = saw_some ? (max * scale_log2 + log2_sum) * kLn2 : -kInf;
    if (a.row_max == nullptr) continue;
    a.row_max[values + q] = a.scale < 0.0f && takes_products<kVariant>(a) ? -max : max;
    a.row_log2_sum[values + q] = log2_sum;
  }
}

/// What dQ needs of the rows that a thread holds: exponentials are not divided by their sum, dP and
/// D are, which costs nothing.
template <int kRowTiles>
struct RowStatistics {
  Shift by[kRowTiles][2];
  float inverse[kRowTiles][2], delta[kRowTiles][2];  ///< 1 over the sum of exponentials; D times it

  __device__ __forceinline__ void load(const Attention& a, int b, int h, int first) {
    const std::int64_t values = row_offset(a, b, h);
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int q = first + warp_row<kRowTiles>() + 16 * t + fragment_row(half);
        const bool valid = q < a.q_len;
        const float max = valid ? a.row_max[values + q] : 0.0f;
        by[t][half] = shift_of(max, a.scale_log2, 0.0f);
        const float log2_sum = valid ? a.row_log2_sum[values + q] : kInf;
        inverse[t][half] = exp2_fast(-log2_sum - exponent_of_max(max, by[t][half]));
        delta[t][half] = valid ? a.delta[values + q] * inverse[t][half] : 0.0f;
      }
  }
};

/// Scores become exponentials: P times the row's sum of them.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void exponentiate(Fragments<kRowTiles, kColumns>& s,
                                             const RowStatistics<kRowTiles>& values) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        s[t][n][c] =
            exp2_fast(fmaf(s[t][n][c], values.by[t][c / 2].factor, -values.by[t][c / 2].shift));
}

/// (dP - D) / the row's sum of exponentials, in place of dP: times them it is dS.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void subtract_delta(Fragments<kRowTiles, kColumns>& dp,
                                               const RowStatistics<kRowTiles>& values) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        dp[t][n][c] = fmaf(dp[t][n][c], values.inverse[t][c / 2], -values.delta[t][c / 2]);
}

/// z = x∘y.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void multiply_elements(Fragments<kRowTiles, kColumns>& z,
                                                  const Fragments<kRowTiles, kColumns>& x,
                                                  const Fragments<kRowTiles, kColumns>& y) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) z[t][n][c] = x[t][n][c] * y[t][n][c];
}

/// dS = P∘(dP - D), in place of dP.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void softmax_gradient(Fragments<kRowTiles, kColumns>& dp,
                                                 const Fragments<kRowTiles, kColumns>& exps,
                                                 const RowStatistics<kRowTiles>& values) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        dp[t][n][c] =
            exps[t][n][c] * fmaf(dp[t][n][c], values.inverse[t][c / 2], -values.delta[t][c / 2]);
}

/// Beyond this, in units of log2, a row's maximum and sum may not be added up: rounded to 2^-24 of
/// itself their sum would move P by 2^-15, which f16 begins to notice.
constexpr float kLargestJointShift = 0x1p10f;

/// P of a score that was computed again, by one FMA; shift = -(max·scale_log2 + log2_sum).
__device__ __forceinline__ float weight(float s, float scale_log2, float shift) {
  return exp2_fast(fmaf(s, scale_log2, shift));
}

/// The same with maximum and sum apart: the score cancels against the same bits, however large.
__device__ __forceinline__ float weight(float s, float scale_log2, float max, float log2_sum) {
  return exp2_fast(fmaf(s - max, scale_log2, -log2_sum));
}

/// Scoresᵀ become Pᵀ: here queries are columns, whose maxima and sums lie in shared memory.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void recompute_large_p_transposed(Fragments<kRowTiles, kColumns>& s,
                                                             std::uint32_t maxima,
                                                             std::uint32_t log2_sums,
                                                             float scale_log2) {
  const auto column = static_cast<std::uint32_t>(fragment_column() * 4);
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
    const float2 max = load_shared_pair(maxima + column + 32 * n);
    const float2 log2_sum = load_shared_pair(log2_sums + column + 32 * n);
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int c = 0; c < 4; c += 2) {
        s[t][n][c] = weight(s[t][n][c], scale_log2, max.x, log2_sum.x);
        s[t][n][c + 1] = weight(s[t][n][c + 1], scale_log2, max.y, log2_sum.y);
      }
  }
}

/// The same by one FMA each, unless some score of these columns is large.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void recompute_p_transposed(Fragments<kRowTiles, kColumns>& s,
                                                       std::uint32_t maxima,
                                                       std::uint32_t log2_sums, float scale_log2) {
  const auto column = static_cast<std::uint32_t>(fragment_column() * 4);
  float largest = 0.0f;
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
    const float2 max = load_shared_pair(maxima + column + 32 * n);
    largest = fmaxf(largest, fmaxf(fabsf(max.x), fabsf(max.y)));
  }
  if (__any_sync(0xffffffffu, !(largest * fabsf(scale_log2) <= kLargestJointShift)))
    return recompute_large_p_transposed<kRowTiles, kColumns>(s, maxima, log2_sums, scale_log2);
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
    const float2 max = load_shared_pair(maxima + column + 32 * n);
    const float2 log2_sum = load_shared_pair(log2_sums + column + 32 * n);
    const float2 shift = {-fmaf(max.x, scale_log2, log2_sum.x),
                          -fmaf(max.y, scale_log2, log2_sum.y)};
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int c = 0; c < 4; c += 2) {
        s[t][n][c] = weight(s[t][n][c], scale_log2, shift.x);
        s[t][n][c + 1] = weight(s[t][n][c + 1], scale_log2, shift.y);
      }
  }
}

/// dPᵀ - D, in place of dPᵀ.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void subtract_delta_transposed(Fragments<kRowTiles, kColumns>& dp,
                                                          std::uint32_t delta) {
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
    const float2 d =
        load_shared_pair(delta + static_cast<std::uint32_t>(fragment_column() * 4) + 32 * n);
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int c = 0; c < 4; ++c) dp[t][n][c] -= c % 2 == 0 ? d.x : d.y;
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

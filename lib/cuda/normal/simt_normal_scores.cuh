#pragma once

#include "cuda/fragments/softcap.cuh"
#include "cuda/normal/simt_normal_rows.cuh"

// What becomes of the products of a row before softmax, and of what softmax takes.
namespace flashbench::cuda::normal {

/// The row of score_slopes that belongs to a row of scores; null where slopes are not wanted.
__device__ inline float* slopes_of(const Attention& a, std::int64_t row) {
  return a.score_slopes == nullptr ? nullptr : a.score_slopes + row * a.scores_stride;
}

__device__ inline float4 tanh_of(float4 x) {
  return make_float4(fragments::tanh_of(x.x), fragments::tanh_of(x.y), fragments::tanh_of(x.z),
                     fragments::tanh_of(x.w));
}
__device__ inline float4 slope_of_tanh(float4 t) {
  return make_float4(fragments::slope_of_tanh(t.x), fragments::slope_of_tanh(t.y),
                     fragments::slope_of_tanh(t.z), fragments::slope_of_tanh(t.w));
}

/// What the scores of a row depend on beside their products.
struct RowChange {
  float own_key;      ///< that the query is aligned on
  float alibi_slope;  ///< 0 without ALiBi
};

__device__ inline RowChange change_of(const Attention& a, const RowIndex& at) {
  const float* const slopes = a.change.alibi_slopes;
  return {static_cast<float>(at.q + a.mask.diagonal),
          slopes == nullptr ? 0.0f : slopes[at.b * a.h + at.h]};
}

/// Scores of four neighbouring keys, of which the first is `key`, with ALiBi; `outer` as in
/// ScoreChange. Positions are exact: there are at most 2^24 of them.
__device__ inline float4 subtract_distances(float4 s, float outer, const RowChange& row, int key) {
  const float far = row.own_key - static_cast<float>(key);
  return make_float4(fmaf(-row.alibi_slope, fabsf(far), outer * s.x),
                     fmaf(-row.alibi_slope, fabsf(far - 1), outer * s.y),
                     fmaf(-row.alibi_slope, fabsf(far - 2), outer * s.z),
                     fmaf(-row.alibi_slope, fabsf(far - 3), outer * s.w));
}

/// tanh of a chunk of products, whose slopes are written to `slopes`, unless it is null.
template <int kTeam>
__device__ void cap_scores(float4 (&s)[kVectors], int first, int kv_len, float* slopes) {
#pragma unroll
  for (int v = 0; v < kVectors; ++v) s[v] = tanh_of(s[v]);
  if (slopes == nullptr) return;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = Team<kTeam>::column(first, v);
    if (column < kv_len) reinterpret_cast<float4*>(slopes)[column / 4] = slope_of_tanh(s[v]);
  }
}

/// Products of a chunk become what softmax takes (ScoreChange).
template <int kTeam>
__device__ void change_scores(float4 (&s)[kVectors], const Attention& a, const RowChange& row,
                              int first, float* slopes) {
  if (a.change.capped != 0) cap_scores<kTeam>(s, first, a.kv_len, slopes);
  if (a.change.alibi_slopes == nullptr) return;
#pragma unroll
  for (int v = 0; v < kVectors; ++v)
    s[v] = subtract_distances(s[v], a.change.outer, row, Team<kTeam>::column(first, v));
}

/// exp of a difference of scores, from what softmax takes; `factor` is scale_log2, which the plain
/// kernel's product has applied.
template <Variant kVariant>
__device__ float exp_of(float difference, float factor) {
  return exp2f(kVariant == Variant::kPlain ? difference : difference * factor);
}

}  // namespace flashbench::cuda::normal

#pragma once

#include "cuda/fragments/softcap.cuh"
#include "cuda/normal/simt_normal_rows.cuh"

// What becomes of the products of a row before softmax, and of differences of what softmax takes.
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

/// Products of a chunk become what softmax takes (ScoreChange); their slopes are written to
/// `slopes`, unless it is null.
template <int kTeam>
__device__ void change_scores(float4 (&s)[kVectors], const Attention& a, int first, float* slopes) {
  if (a.change.capped == 0) return;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) s[v] = tanh_of(s[v]);
  if (slopes == nullptr) return;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = Team<kTeam>::column(first, v);
    if (column < a.kv_len) reinterpret_cast<float4*>(slopes)[column / 4] = slope_of_tanh(s[v]);
  }
}

/// exp of a difference of scores, from what softmax takes; `factor` is scale_log2, which the plain
/// kernel's product has applied.
template <Variant kVariant>
__device__ float exp_of(float difference, float factor) {
  return exp2f(kVariant == Variant::kPlain ? difference : difference * factor);
}

}  // namespace flashbench::cuda::normal

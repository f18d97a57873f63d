#pragma once

#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/softcap.cuh"

/// Products of Q and K in accumulators become what softmax takes (ScoreChange). The same operations
/// in the same order wherever they are computed again, so that the backward has the forward's bits.
namespace flashbench::cuda::fragments {

__device__ __forceinline__ bool changes_scores(const Attention& a) { return a.change.capped != 0; }

/// Softmax takes q.k itself, times a factor whose sign went into Q.
template <Variant kVariant>
__device__ __forceinline__ bool takes_products(const Attention& a) {
  return kVariant == Variant::kPlain || !changes_scores(a);
}

template <int kRowTiles, int kColumns>
__device__ __forceinline__ void change_scores(Fragments<kRowTiles, kColumns>& s,
                                              const Attention& a) {
  if (a.change.capped == 0) return;
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) s[t][n][c] = tanh_of(s[t][n][c] * a.change.cap);
}

/// The same; `gradient`, which a derivative of the scores is to be a multiple of, is multiplied by
/// their slopes.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void change_scores(Fragments<kRowTiles, kColumns>& s,
                                              Fragments<kRowTiles, kColumns>& gradient,
                                              const Attention& a) {
  change_scores<kRowTiles, kColumns>(s, a);
  if (a.change.capped == 0) return;
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) gradient[t][n][c] *= slope_of_tanh(s[t][n][c]);
}

}  // namespace flashbench::cuda::fragments

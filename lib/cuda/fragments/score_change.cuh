#pragma once

#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/softcap.cuh"

/// Products of Q and K in accumulators become what softmax takes (ScoreChange). The same operations
/// in the same order wherever they are computed again, so that the backward has the forward's bits.
namespace flashbench::cuda::fragments {

__device__ __forceinline__ bool changes_scores(const Attention& a) {
  return a.change.capped != 0 || a.change.alibi_slopes != nullptr;
}

/// Softmax takes q.k itself, times a factor whose sign went into Q.
template <Variant kVariant>
__device__ __forceinline__ bool takes_products(const Attention& a) {
  return kVariant == Variant::kPlain || !changes_scores(a);
}

/// Which scores a tile holds: of one head, from these rows and columns on.
struct TilePlace {
  int b, h, first_row, first_column;
};

/// Whether the rows of a tile are queries and its columns keys, or the other way round.
enum class RowsAre { kQueries, kKeys };

/// Positions, whose differences are distances: of a kept key where it lies, of a query the key that
/// it is aligned on. Exact in f32: with ALiBi there are at most 2^24 of both.
__device__ __forceinline__ float key_position(const Attention& a, int b, int i) {
  if (a.kept == nullptr) return static_cast<float>(i);
  return static_cast<float>(a.kept[static_cast<std::int64_t>(b) * a.kv_len + min(i, a.kv_len - 1)]);
}
__device__ __forceinline__ float query_position(const Attention& a, int q) {
  return static_cast<float>(q + a.mask.diagonal);
}

template <int kRowTiles, int kColumns>
__device__ __forceinline__ void cap_scores(Fragments<kRowTiles, kColumns>& s, float cap) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) s[t][n][c] = tanh_of(s[t][n][c] * cap);
}

template <int kRowTiles, int kColumns>
__device__ __forceinline__ void multiply_by_slopes(Fragments<kRowTiles, kColumns>& gradient,
                                                   const Fragments<kRowTiles, kColumns>& capped) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) gradient[t][n][c] *= slope_of_tanh(capped[t][n][c]);
}

template <RowsAre kRows, int kRowTiles, int kColumns>
__device__ __forceinline__ void subtract_distances(Fragments<kRowTiles, kColumns>& s,
                                                   const Attention& a, const TilePlace& at) {
  const auto of_query = [&](int q) { return query_position(a, q); };
  const auto of_key = [&](int i) { return key_position(a, at.b, i); };
  const float slope = a.change.alibi_slopes[at.b * a.h + at.h];
  float row[kRowTiles][2];
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = at.first_row + warp_row<kRowTiles>() + 16 * t + fragment_row(half);
      row[t][half] = kRows == RowsAre::kQueries ? of_query(i) : of_key(i);
    }
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int i = at.first_column + fragment_column() + 8 * n + c;
      const float column = kRows == RowsAre::kQueries ? of_key(i) : of_query(i);
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float& x = s[t][n][2 * half + c];
          x = fmaf(-slope, fabsf(row[t][half] - column), a.change.outer * x);
        }
    }
}

template <RowsAre kRows, int kRowTiles, int kColumns>
__device__ __forceinline__ void change_scores(Fragments<kRowTiles, kColumns>& s, const Attention& a,
                                              const TilePlace& at) {
  if (a.change.capped != 0) cap_scores<kRowTiles, kColumns>(s, a.change.cap);
  if (a.change.alibi_slopes != nullptr) subtract_distances<kRows, kRowTiles, kColumns>(s, a, at);
}

/// The same; `gradient`, by the changed scores, becomes one by q.k but for the factor.
template <RowsAre kRows, int kRowTiles, int kColumns>
__device__ __forceinline__ void change_scores(Fragments<kRowTiles, kColumns>& s,
                                              Fragments<kRowTiles, kColumns>& gradient,
                                              const Attention& a, const TilePlace& at) {
  if (a.change.capped != 0) {
    cap_scores<kRowTiles, kColumns>(s, a.change.cap);
    multiply_by_slopes<kRowTiles, kColumns>(gradient, s);
  }
  if (a.change.alibi_slopes != nullptr) subtract_distances<kRows, kRowTiles, kColumns>(s, a, at);
}

}  // namespace flashbench::cuda::fragments

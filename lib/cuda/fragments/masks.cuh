#pragma once

#include "cuda/contract/arguments.h"
#include "cuda/fragments/accumulators.cuh"

/// Masks of accumulators: of scores whose rows are queries, and of transposed ones.
namespace flashbench::cuda::fragments {

/// [begin, end), counted from this thread's first column of a tile, holds all of its columns.
template <int kColumns>
__device__ __forceinline__ bool sees_all(int begin, int end) {
  constexpr int kLast = kColumns - 8 + 1;
  return begin <= 0 && end > kLast;
}

/// Writes `value` where a query of the block that starts at `first_query` does not see a key. What
/// each row sees is looked up here, not kept: few tiles need a mask, and all need the registers.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void hide_keys(Fragments<kRowTiles, kColumns>& s, const Attention& a,
                                          int b, int first_query, int first_key, float value) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int q = first_query + warp_row<kRowTiles>() + 16 * t + fragment_row(half);
      const KeyRange seen = keys(a, b, min(q, a.q_len - 1));
      const int column = first_key + fragment_column();
      const int begin = seen.begin - column, end = seen.end - column;
      if (sees_all<kColumns>(begin, end)) continue;
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
        for (int c = 0; c < 2; ++c)
          if (8 * n + c < begin || 8 * n + c >= end) s[t][n][2 * half + c] = value;
    }
}

/// Some query of the warp may not see some key of tile j.
template <int kKeys>
__device__ __forceinline__ bool hides_keys(const Attention& a, int j, int seen_by_all) {
  return (j + 1) * kKeys > seen_by_all || rows_begin_later(a);
}

/// Zeroes P where a query does not see a key, or is none.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void hide_pairs(Fragments<kRowTiles, kColumns>& p, const Attention& a,
                                           int b, int first_key, int first_column) {
  const int keys = kept_count(a, b);
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int key = first_key + warp_row<kRowTiles>() + 16 * t + fragment_row(half);
      const int column = first_column + fragment_column();
      const KeyRange seen = key < keys ? queries(a, b, key) : KeyRange{0, 0};
      const int begin = seen.begin - column, end = seen.end - column;
      if (sees_all<kColumns>(begin, end)) continue;
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
        for (int c = 0; c < 2; ++c)
          if (8 * n + c < begin || 8 * n + c >= end) p[t][n][2 * half + c] = 0.0f;
    }
}

/// The same of a tile of kColumns queries, if it needs it: from query `seen_by_all` on the warp's
/// keys are seen by all.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void hide_pairs_of_tile(Fragments<kRowTiles, kColumns>& p,
                                                   const Attention& a, int b, int first_key,
                                                   int first_query, int seen_by_all) {
  if (first_query < seen_by_all || first_query + kColumns > a.q_len || rows_begin_later(a))
    hide_pairs<kRowTiles, kColumns>(p, a, b, first_key, first_query);
}

}  // namespace flashbench::cuda::fragments

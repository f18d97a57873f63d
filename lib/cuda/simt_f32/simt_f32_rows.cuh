#pragma once

#include "cuda/simt_f32/simt_f32_products.cuh"

// Which rows of Q, K and V a block of simt_f32 meets, who sees whom, and how scores become weights.
//
// For a row that a tile has and the tensor has not, the last one is read: it is hidden, or what
// comes of it is not written.
namespace flashbench::cuda::simt {

using fragments::exp2_fast;

/// Neighbouring rows of a tensor, from `first` on; `count` exist.
struct RowsFrom {
  int first, count;
  __device__ __forceinline__ int operator()(int r) const { return min(first + r, count - 1); }
};

/// Rows whose numbers are listed in shared memory.
struct ListedRows {
  const int* rows;
  __device__ __forceinline__ int operator()(int r) const { return rows[r]; }
};

/// Lists the rows of kCount kept keys of batch element `b` from `first` on, the last of which is
/// `end` - 1. The next barrier makes them visible to the block.
template <int kCount>
__device__ __forceinline__ void list_keys(int* rows, const Attention& a, int b, int first,
                                          int end) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < kCount) rows[i] = key_row(a, b, min(first + i, end - 1));
}

/// A block of queries of one head, which walks over the tiles of keys that they see.
template <TileShape kTile>
struct QueryBlock {
  static constexpr int kColumns = kTile.columns();

  const Attention& a;
  BlockIndex index;
  int first_q, last_q;
  int first_tile, end;  ///< of keys: tiles from, keys before

  __device__ __forceinline__ QueryBlock(const Attention& problem, int parts) : a(problem) {
    const int tiles = (a.q_len + kRows - 1) / kRows;
    index = block_index(parts, tiles, a.h);
    first_q = (tiles - 1 - index.tile) * kRows;  // the longest causal tile first
    last_q = min(first_q + kRows, a.q_len) - 1;
    first_tile = keys(a, index.b, first_q).begin / kColumns;
    end = keys(a, index.b, last_q).end;
  }

  __device__ __forceinline__ int first_column() const { return index.part * kTile.width; }
  __device__ __forceinline__ int kv_head() const { return index.h / a.group; }
  /// Where this head begins in tensors [b, h, q_len].
  __device__ __forceinline__ std::int64_t values() const {
    return (static_cast<std::int64_t>(index.b) * a.h + index.h) * a.q_len;
  }
  __device__ __forceinline__ RowsFrom queries() const { return {first_q, a.q_len}; }
  /// The query of row r, or -1.
  __device__ __forceinline__ int written(int r) const {
    return first_q + r < a.q_len ? first_q + r : -1;
  }

  __device__ __forceinline__ void list_keys_of(int tile) const {
    list_keys<kColumns>(key_rows_memory<kTile>(tile), a, index.b, tile * kColumns, end);
  }
  __device__ __forceinline__ ListedRows keys_of(int tile) const {
    return {key_rows_memory<kTile>(tile)};
  }

  /// Scores, or weights, of keys that a query does not see become `value`.
  __device__ __forceinline__ void hide(Scores<kTile>& s, int tile, float value) const {
    const int first = tile * kColumns;
    // Looked up for every tile: no register is left to keep it in.
    if (first >= keys(a, index.b, last_q).begin &&
        first + kColumns <= keys(a, index.b, first_q).end)
      return;
    const Lanes<kTile> lane;
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
      const KeyRange sees = keys(a, index.b, queries()(lane.row(i)));
#pragma unroll
      for (int c = 0; c < kTile.own_columns; ++c)
        if (!sees.holds(first + lane.column(c))) s[i][c] = value;
    }
  }
};

/// What the backward needs of a query: see Attention.
struct QueryStatistics {
  float max, log2_sum;

  __device__ __forceinline__ QueryStatistics(const Attention& a, std::int64_t at)
      : max(a.row_max[at]), log2_sum(a.row_log2_sum[at]) {}

  /// P of a score that was computed again.
  __device__ __forceinline__ float weight(float score, float scale_log2) const {
    return exp2_fast(fmaf(score - max, scale_log2, -log2_sum));
  }
};

}  // namespace flashbench::cuda::simt

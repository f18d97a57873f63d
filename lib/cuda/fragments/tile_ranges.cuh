#pragma once

#include "cuda/fragments/rows.cuh"
#include "cuda/fragments/swizzle.h"

/// Which tiles a block meets, and from where or up to where its warps need no mask.
namespace flashbench::cuda::fragments {

/// The tiles of keys, `columns` each, that a block of `rows` queries meets: from the first key that
/// any of its queries sees to the last.
struct KeyTiles {
  int first, end;

  __device__ __forceinline__ KeyTiles(const Attention& a, const QueryBlock& block, int rows,
                                      int columns) {
    const int last_query = min(block.first_row + rows, a.q_len) - 1;
    first = keys(a, block.b, block.first_row).begin / columns;
    end = (keys(a, block.b, last_query).end + columns - 1) / columns;
  }
};

/// The tiles of queries that a block of keys meets: of each head of its group, from the first query
/// that sees any of them to the last.
template <int kQueries>
struct QueryTiles {
  int h, query;                          ///< head and first query of the tile
  int head_end, query_begin, query_end;  ///< the walk: of heads before head_end, these queries

  __device__ QueryTiles(const Attention& a, const KeyBlock& block, int rows)
      : h(block.h_kv * a.group), head_end(h + a.group) {
    const int last_key = min(block.first_row + rows, kept_count(a, block.b)) - 1;
    query = query_begin = queries(a, block.b, block.first_row).begin / kQueries * kQueries;
    query_end = queries(a, block.b, last_key).end;
    if (query_begin >= query_end) h = head_end;  // no query sees these keys
  }
  __device__ bool done() const { return h == head_end; }
  __device__ QueryTiles next() const {
    QueryTiles n = *this;
    n.query += kQueries;
    if (n.query >= query_end) {
      n.query = query_begin;
      ++n.h;
    }
    return n;
  }
};

/// Keys before this one are seen by `query` and by all after it, unless rows begin later.
__device__ __forceinline__ int end_of_keys_seen_by_all(const Attention& a, int b, int query) {
  return keys(a, b, min(query, a.q_len - 1)).end;
}

/// From this query on every key of a warp is seen, which has `rows` keys from that row of the block
/// on, of `kept` keys in all. Rows beyond these always need a mask.
__device__ __forceinline__ int query_that_all_keys_see(const Attention& a, const KeyBlock& block,
                                                       int kept, int row, int rows = kMatrixRows) {
  const int last_key = block.first_row + row + (rows - 1);
  return last_key < kept ? queries(a, block.b, last_key).begin : a.q_len;
}

}  // namespace flashbench::cuda::fragments

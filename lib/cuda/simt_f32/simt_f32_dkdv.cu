#include "cuda/simt_f32/simt_f32_rows.cuh"

// simt_f32, backward, second half: dV = Pᵀ dO and dK = scale * dSᵀ Q.
//
// A block owns kRows kept keys of one K/V head and walks over the queries that see them, of every
// query head of its group: the transposed score tiles Sᵀ = K Qᵀ and dPᵀ = V dOᵀ. Both sums stay in
// registers. Heads of a group follow one another in one block, so runs are bitwise equal.
namespace flashbench::cuda::simt {
namespace {

/// A tile of queries of one head.
struct QueryTile {
  int h, first_q;
};

/// A block of kept keys of one K/V head, which walks over the tiles of queries that see them.
template <TileShape kTile>
struct KeyBlock {
  static constexpr int kColumns = kTile.columns();

  const Attention& a;
  BlockIndex index;
  int first_key, end_key;
  int begin, end;  ///< of the queries, `begin` a multiple of kColumns

  __device__ __forceinline__ KeyBlock(const Attention& problem, int parts) : a(problem) {
    const int tiles = static_cast<int>(gridDim.x) / (parts * a.b * a.h_kv);
    index = block_index(parts, tiles, a.h_kv);
    first_key = index.tile * kRows;  // under a causal mask the first tile is the longest
    end_key = min(first_key + kRows, kept_count(a, index.b));
  }
  /// Of a block that has a key.
  __device__ __forceinline__ void find_queries() {
    begin = queries(a, index.b, first_key).begin / kColumns * kColumns;
    end = queries(a, index.b, end_key - 1).end;
  }

  __device__ __forceinline__ int first_column() const { return index.part * kTile.width; }
  __device__ __forceinline__ QueryTile first() const { return {index.h * a.group, begin}; }
  __device__ __forceinline__ bool holds(const QueryTile& tile) const {
    return tile.h < (index.h + 1) * a.group;
  }
  __device__ __forceinline__ QueryTile after(const QueryTile& tile) const {
    const bool same_head = tile.first_q + kColumns < end;
    return same_head ? QueryTile{tile.h, tile.first_q + kColumns} : QueryTile{tile.h + 1, begin};
  }
  __device__ __forceinline__ RowsFrom queries_of(const QueryTile& tile) const {
    return {tile.first_q, a.q_len};
  }
  /// The place of column c's query in tensors [b, h, q_len].
  __device__ __forceinline__ std::int64_t value(const QueryTile& tile, int column) const {
    return (static_cast<std::int64_t>(index.b) * a.h + tile.h) * a.q_len + queries_of(tile)(column);
  }

  /// Weights of keys that a query does not see, and of queries beyond the last, become 0.
  __device__ __forceinline__ void hide(Scores<kTile>& p, const QueryTile& tile) const {
    const int last_q = tile.first_q + kColumns - 1;
    if (last_q < a.q_len && keys(a, index.b, last_q).begin <= first_key &&
        keys(a, index.b, tile.first_q).end >= first_key + kRows)
      return;
    const Lanes<kTile> lane;
#pragma unroll
    for (int c = 0; c < kTile.own_columns; ++c) {
      const int q = tile.first_q + lane.column(c);
      KeyRange sees = keys(a, index.b, min(q, a.q_len - 1));
      if (q >= a.q_len) sees = {0, 0};
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i)
        if (!sees.holds(first_key + lane.row(i))) p[i][c] = 0;
    }
  }
};

/// Scoresᵀ become Pᵀ, of this thread's part of the tile.
template <TileShape kTile>
__device__ __forceinline__ void recompute_weights(Scores<kTile>& s, const KeyBlock<kTile>& block,
                                                  const QueryTile& tile) {
  const Lanes<kTile> lane;
#pragma unroll
  for (int c = 0; c < kTile.own_columns; ++c) {
    const QueryStatistics column(block.a, block.value(tile, lane.column(c)));
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) s[i][c] = column.weight(s[i][c], block.a.scale_log2);
  }
}

/// dPᵀ becomes dSᵀ = Pᵀ o (dPᵀ - D). P lies where this thread left it in shared memory.
template <TileShape kTile>
__device__ __forceinline__ void differentiate(Scores<kTile>& dp, const KeyBlock<kTile>& block,
                                              const QueryTile& tile) {
  const Lanes<kTile> lane;
  const float* const own = own_weights<kTile>() + lane.column(0);
#pragma unroll
  for (int c = 0; c < kTile.own_columns; ++c) {
    const float delta = block.a.delta[block.value(tile, lane.column(c))];
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i)
      dp[i][c] = own[i * kTile.columns() + 16 * c] * (dp[i][c] - delta);
  }
}

template <int kPadded>
__device__ __forceinline__ void dkdv(const Attention& a) {
  constexpr TileShape kTile = key_shape(kPadded);
  KeyBlock<kTile> block(a, kTile.parts(kPadded, a.d));
  if (block.first_key >= block.end_key) return;  // this batch element keeps fewer keys than another
  block.find_queries();
  const int b = block.index.b;
  const ListedRows key_rows{key_rows_memory<kTile>(0)};
  list_keys<kRows>(key_rows_memory<kTile>(0), a, b, block.first_key, block.end_key);
  __syncthreads();
  using TileFactors = Factors<kTile, ListedRows, RowsFrom>;
  const auto factors = [&](const Rows& keys, const Rows& queries, const QueryTile& tile) {
    return TileFactors{head_of(keys, a.element, b, block.index.h), key_rows,
                       head_of(queries, a.element, b, tile.h), block.queries_of(tile), a.d};
  };
  const auto for_scores = [&](const QueryTile& tile) { return factors(a.k, a.q, tile); };

  Sums<kTile> dk = {}, dv = {};
  Stages<kTile> stages{shared_floats};
  QueryTile tile = block.first();
  if (block.begin < block.end) stages.begin(for_scores(tile));
  while (block.begin < block.end && block.holds(tile)) {
    const auto for_gradients = [&] { return factors(a.v, a.d_o, tile); };
    const auto values = [&](const Rows& rows) {
      return [&](int column) {
        return Values<kTile, RowsFrom>{head_of(rows, a.element, b, tile.h), block.queries_of(tile),
                                       column};
      };
    };
    const auto add = [](int) { return 1.0f; };
    {
      Scores<kTile> p = {};
      multiply_factors<kTile>(p, stages, for_scores(tile), values(a.d_o)(block.first_column()));
      recompute_weights<kTile>(p, block, tile);
      block.hide(p, tile);
      store_weights<kTile>(p);
    }
    add_weighted<kTile>(dv, stages, values(a.d_o), block.first_column(), a.d, for_gradients(), add);
    {
      Scores<kTile> ds = {};
      multiply_factors<kTile>(ds, stages, for_gradients(), values(a.q)(block.first_column()));
      differentiate<kTile>(ds, block, tile);
      store_weights<kTile>(ds);
    }
    const QueryTile next = block.after(tile);
    QueryTile loaded = next;
    if (!block.holds(next)) loaded = tile;  // any tile: nobody multiplies it
    add_weighted<kTile>(dk, stages, values(a.q), block.first_column(), a.d, for_scores(loaded),
                        add);
    tile = next;
  }
  const auto written = [&](int r) {
    return block.first_key + r < block.end_key ? key_rows(r) : -1;
  };
  store<kTile>(dk, head_of(a.dk, a.element, b, block.index.h), block.first_column(), written,
               [&](int) { return a.scale; });
  store<kTile>(dv, head_of(a.dv, a.element, b, block.index.h), block.first_column(), written,
               [](int) { return 1.0f; });
}

}  // namespace
}  // namespace flashbench::cuda::simt

#define FLASHBENCH_SIMT_DKDV(D)                                                                   \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::simt::key_shape(D).threads(), 1) \
      simt_f32_dkdv_d##D(const __grid_constant__ flashbench::cuda::Attention a) {                 \
    flashbench::cuda::simt::dkdv<D>(a);                                                           \
  }

FLASHBENCH_SIMT_DKDV(64)
FLASHBENCH_SIMT_DKDV(128)
FLASHBENCH_SIMT_DKDV(256)
FLASHBENCH_SIMT_DKDV(512)
FLASHBENCH_SIMT_DKDV(1024)

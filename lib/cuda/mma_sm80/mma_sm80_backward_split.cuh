#pragma once

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/score_change.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/fragments/stages.cuh"
#include "cuda/fragments/tile_ranges.cuh"
#include "cuda/mma_sm80/mma_sm80_problem.cuh"
#include "cuda/mma_sm80/mma_sm80_split.cuh"

/// The gradients beyond d = 256: four warps have the same 16 rows, each with a quarter of the
/// columns of every sum. Two of them keep half of d each of the rows that make S, the other two
/// those that make dP: each makes half of one product. All four read all halves and make the same
/// dS.
namespace flashbench::cuda::mma_sm80 {

/// A warp's half of what it keeps and of what it multiplies that by: of which tensor, and where.
template <int kD, TileShape kTile>
struct Halves {
  using At = Split<kD, kTile>;
  using Kept = KeptRows<At::kOwn, 2>;
  static_assert(kTile.parts == 4);
  const At& at;

  /// Of two tensors that lie one behind the other, each `bytes` long: this warp's half of its own.
  __device__ std::uint32_t of(std::uint32_t tensors, std::uint32_t bytes) const {
    return tensors + at.part() * (bytes / 2);
  }

  /// Loads rows of the tensor that makes S and of the one that makes dP, and keeps this warp's.
  __device__ __forceinline__ void keep(Kept& kept, const HeadRows& of_s, const HeadRows& of_dp,
                                       int first_row) const {
    constexpr auto kBlock = static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
    at.template load<kTile.rows()>(at.base, of_s, first_row);
    at.template load<kTile.rows()>(at.base + kBlock, of_dp, first_row);
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
    keep_rows<At::kOwn, 2, kTile.rows()>(kept, of(at.base, kBlock), at.row());
    __syncthreads();  // everyone has its rows; tiles take their place
  }

  /// S and dP of the warp's rows in the tile of a stage.
  template <typename T>
  __device__ __forceinline__ void multiply(SplitScores& s, SplitScores& dp, const Kept& kept,
                                           int stage) const {
    SplitScores half = {};
    multiply_kept<T, At::kOwn, 2>(half, kept, of(at.first(stage), At::kTileBytes));
    write_partial(at.partials(), half);
    __syncthreads();  // all halves are there
    constexpr int kNext = kTile.row_warps();
    const int row_warp = warp() % kNext;
    sum_of_partials(s, at.partials(), row_warp, row_warp + kNext);
    sum_of_partials(dp, at.partials(), row_warp + 2 * kNext, row_warp + 3 * kNext);
  }
};

/// dQ = scale·dS·K for one block of queries.
template <typename T, int kD, Variant kVariant, typename Argument>
__device__ __forceinline__ void dq_split(const Argument& x) {
  constexpr TileShape kTile = dq_tile(kD);
  using At = Split<kD, kTile>;
  constexpr int kKeys = kTile.columns;
  extern __shared__ __align__(128) unsigned char shared[];
  const At at{shared_address(shared)};
  const Halves<kD, kTile> halves{at};

  const auto& from = of_queries(x);
  const Attention& a = problem(from);
  const QueryBlock block = query_block(from, kTile.rows());
  const int h_kv = block.h / a.group;
  const KeyTiles tiles(a, block, kTile.rows(), kKeys);
  const int seen_by_all = end_of_keys_seen_by_all(a, block.b, block.first_row + at.row());

  const auto load_keys_of = [&](int j) {
    load_keys<kVariant>(at, problem(from), rematerialized(block.b), rematerialized(h_kv), j);
  };
  typename Halves<kD, kTile>::Kept kept;
  if (tiles.first < tiles.end) {
    halves.keep(kept, query_rows(a, a.q, block.b, block.h),
                query_values<kVariant>(a, a.d_o, block.b, block.h), block.first_row);
    load_keys_of(tiles.first);
  }
  RowStatistics<1> values;
  values.load(problem(from), block.b, block.h, block.first_row + at.shift());

  Fragments<1, At::kOwn> sum = {};
  for (int j = tiles.first; j < tiles.end; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1 and its halves
    if (j + 1 < tiles.end) load_keys_of(j + 1);
    SplitScores p, ds;
    halves.template multiply<T>(p, ds, kept, j % 2);
    subtract_delta<1, kKeys>(ds, values);
    if constexpr (kVariant == Variant::kGeneral)
      change_scores<RowsAre::kQueries, 1, kKeys>(
          p, ds, problem(from), {block.b, block.h, block.first_row + at.shift(), j * kKeys});
    exponentiate<1, kKeys>(p, values);
    if (hides_keys<kKeys>(a, j, seen_by_all))
      hide_keys<1, kKeys>(p, problem(from), block.b, block.first_row + at.shift(), j * kKeys, 0.0f);
    multiply_elements<1, kKeys>(ds, ds, p);
    multiply_from_registers<T, At::kOwn, 1, kKeys>(sum, ds,
                                                   at.first(j % 2) + at.part() * At::kPart);
  }
  __syncthreads();  // everyone is done with the last tile
  const Attention& now = problem(from);
  const float scale[2] = {now.scale, now.scale};
  at.template store<T>(sum[0], scale, query_rows(now, now.dq, block.b, block.h), block.first_row);
}

/// dV = PᵀdO and dK = scale·dSᵀQ for one block of keys, summed over the queries that see them and
/// the query heads that share them.
template <typename T, int kD, Variant kVariant, typename Argument>
__device__ __forceinline__ void dkdv_split(const Argument& x) {
  constexpr TileShape kTile = dkdv_tile(kD, KvGradient::kBoth);
  using At = Split<kD, kTile>;
  constexpr int kQueries = kTile.columns;
  extern __shared__ __align__(128) unsigned char shared[];
  const At at{shared_address(shared)};
  const Halves<kD, kTile> halves{at};
  const RowValues<kQueries, kTile.threads()> row_values{at.behind()};

  const auto& from = of_keys(x);
  const Attention& a = problem(from);
  const KeyBlock block = key_block(from, kTile.rows());
  const int kept_keys = kept_count(a, block.b);
  if (block.first_row >= kept_keys) return;
  const int seen_by_all = query_that_all_keys_see(a, block, kept_keys, at.row());
  QueryTiles<kQueries> tile(a, block, kTile.rows());
  const auto load_queries_of = [&](const QueryTiles<kQueries>& t, int stage) {
    load_queries<kVariant>(at, row_values, a, rematerialized(block.b), t.h, t.query, stage);
  };
  typename Halves<kD, kTile>::Kept kept;
  if (!tile.done()) {
    halves.keep(kept, key_rows(a, a.k, block.b, block.h_kv),
                key_values<kVariant>(a, a.v, block.b, block.h_kv), block.first_row);
    load_queries_of(tile, 0);
  }
  Fragments<1, At::kOwn> dk = {}, dv = {};
  for (int stage = 0; !tile.done(); stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // this tile is there, and everyone is done with the one before
    const QueryTiles<kQueries> next = tile.next();
    if (!next.done()) load_queries_of(next, stage ^ 1);
    SplitScores p, ds;
    halves.template multiply<T>(p, ds, kept, stage);
    subtract_delta_transposed<1, kQueries>(ds, row_values.delta(stage));
    if constexpr (kVariant == Variant::kGeneral)
      change_scores<RowsAre::kKeys, 1, kQueries>(
          p, ds, a, {block.b, tile.h, block.first_row + at.shift(), tile.query});
    recompute_p_transposed<1, kQueries>(p, row_values.max(stage), row_values.log2_sum(stage),
                                        a.scale_log2);
    hide_pairs_of_tile<1, kQueries>(p, a, block.b, block.first_row + at.shift(), tile.query,
                                    seen_by_all);
    const std::uint32_t own = at.first(stage) + at.part() * At::kPart;
    multiply_from_registers<T, At::kOwn, 1, kQueries>(dv, p, own + At::kTileBytes);
    multiply_elements<1, kQueries>(ds, ds, p);
    multiply_from_registers<T, At::kOwn, 1, kQueries>(dk, ds, own);
    tile = next;
  }
  __syncthreads();  // everyone is done with the last tile
  const int b = rematerialized(block.b), h_kv = rematerialized(block.h_kv);
  const float scale[2] = {a.scale, a.scale}, one[2] = {1.0f, 1.0f};
  at.template store<T>(dv[0], one, key_values<kVariant>(a, a.dv, b, h_kv), block.first_row);
  at.template store<T>(dk[0], scale, key_rows(a, a.dk, b, h_kv), block.first_row);
}

}  // namespace flashbench::cuda::mma_sm80

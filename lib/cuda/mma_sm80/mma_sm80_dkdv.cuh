#pragma once

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/score_change.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/fragments/stages.cuh"
#include "cuda/fragments/tile_ranges.cuh"
#include "cuda/mma_sm80/mma_sm80_layout.h"
#include "cuda/mma_sm80/mma_sm80_problem.cuh"

namespace flashbench::cuda::mma_sm80 {

using namespace fragments;

/// Where the operands of the K/V kernel lie; two stages of what is streamed.
template <int kD, KvGradient kWhat>
struct KvShared {
  static constexpr TileShape kTile = dkdv_tile(kD, kWhat);
  static constexpr auto kBlock = static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
  std::uint32_t base;

  __device__ std::uint32_t k() const { return base; }
  __device__ std::uint32_t v() const { return base + (kWhat == KvGradient::kValues ? 0 : kBlock); }
  __device__ Stages<kD, kTile.columns, kTile.threads()> queries() const { return {v() + kBlock}; }
  __device__ std::uint32_t q(int stage) const { return queries().first(stage); }
  __device__ std::uint32_t d_o(int stage) const { return queries().second(stage); }
  __device__ RowValues<kTile.columns, kTile.threads()> values() const {
    return {queries().behind()};
  }
};

/// The sums of one gradient; of one that the kernel does not compute, next to nothing.
template <int kD, KvGradient kWhat, KvGradient kOther>
using KvSums = Fragments<dkdv_tile(kD, kWhat).row_tiles, kWhat == kOther ? 8 : kD>;

/// Writes what is wanted of dK = scale·sum and dV, through the rows of K, which nobody reads any
/// more.
template <typename T, int kD, KvGradient kWhat, Variant kVariant>
__device__ __forceinline__ void store_gradients(const Attention& a, const KeyBlock& block,
                                                const KvSums<kD, kWhat, KvGradient::kValues>& dk,
                                                const KvSums<kD, kWhat, KvGradient::kKeys>& dv,
                                                std::uint32_t k_tile) {
  constexpr int kRowTiles = dkdv_tile(kD, kWhat).row_tiles;
  const int b = rematerialized(block.b), h_kv = rematerialized(block.h_kv);
  const float scale[2] = {a.scale, a.scale}, one[2] = {1.0f, 1.0f};
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t) {
    const int row = warp_row<kRowTiles>() + 16 * t;
    if constexpr (kWhat != KvGradient::kKeys)
      store_rows<T, kD>(dv[t], one, k_tile, row, key_values<kVariant>(a, a.dv, b, h_kv),
                        block.first_row);
    if constexpr (kWhat != KvGradient::kValues)
      store_rows<T, kD>(dk[t], scale, k_tile, row, key_rows(a, a.dk, b, h_kv), block.first_row);
  }
}

/// dSᵀ from Pᵀ and dPᵀ, as begin_ds and end_ds of dQ.
template <typename T, int kD, KvGradient kWhat, Variant kVariant, int kRowTiles, int kQueries>
__device__ __forceinline__ void begin_ds_transposed(Fragments<kRowTiles, kQueries>& dp,
                                                    const KvShared<kD, kWhat>& at, int stage) {
  if constexpr (kVariant == Variant::kPlain || kWhat == KvGradient::kValues) return;
  multiply_by_transposed<T, kD, kRowTiles, kQueries>(dp, at.v(), at.d_o(stage));
  subtract_delta_transposed<kRowTiles, kQueries>(dp, at.values().delta(stage));
}
template <typename T, int kD, KvGradient kWhat, Variant kVariant, int kRowTiles, int kQueries>
__device__ __forceinline__ void end_ds_transposed(Fragments<kRowTiles, kQueries>& ds,
                                                  const Fragments<kRowTiles, kQueries>& dp,
                                                  const Fragments<kRowTiles, kQueries>& p,
                                                  const KvShared<kD, kWhat>& at, int stage) {
  if constexpr (kVariant == Variant::kPlain) {
    multiply_by_transposed<T, kD, kRowTiles, kQueries>(ds, at.v(), at.d_o(stage));
    softmax_gradient_transposed<kRowTiles, kQueries>(ds, p, at.values().delta(stage));
  } else {
    multiply_elements<kRowTiles, kQueries>(ds, dp, p);
  }
}

/// dV = PᵀdO and dK = scale·dSᵀQ for one block of keys, summed over the queries that see them and
/// the query heads that share them. Sᵀ and dPᵀ are computed, so that P and dS are A operands where
/// they lie, and nothing but inputs passes through shared memory.
template <typename T, int kD, KvGradient kWhat, Variant kVariant, typename Argument>
__device__ __forceinline__ void dkdv(const Argument& x) {
  constexpr TileShape kTile = dkdv_tile(kD, kWhat);
  constexpr int kRowTiles = kTile.row_tiles, kQueries = kTile.columns;
  constexpr bool kWantK = kWhat != KvGradient::kValues, kWantV = kWhat != KvGradient::kKeys;
  extern __shared__ __align__(128) unsigned char shared[];
  const KvShared<kD, kWhat> at{shared_address(shared)};

  const auto& from = of_keys(x);
  const Attention& a = problem(from);
  const KeyBlock block = key_block(from, kTile.rows());
  const int kept = kept_count(a, block.b);
  if (block.first_row >= kept) return;
  const int seen_by_all =
      query_that_all_keys_see(a, block, kept, warp_row<kRowTiles>(), kMatrixRows * kRowTiles);
  QueryTiles<kQueries> tile(a, block, kTile.rows());
  const auto load_queries_of = [&](const QueryTiles<kQueries>& t, int stage) {
    load_queries<kVariant>(at.queries(), at.values(), a, rematerialized(block.b), t.h, t.query,
                           stage);
  };
  if (!tile.done()) {
    load_tile<kD, kTile.rows(), kTile.threads()>(at.k(), key_rows(a, a.k, block.b, block.h_kv),
                                                 block.first_row);
    if (kWantK)
      load_tile<kD, kTile.rows(), kTile.threads()>(
          at.v(), key_values<kVariant>(a, a.v, block.b, block.h_kv), block.first_row);
    load_queries_of(tile, 0);
  }
  KvSums<kD, kWhat, KvGradient::kValues> dk = {};
  KvSums<kD, kWhat, KvGradient::kKeys> dv = {};
  for (int stage = 0; !tile.done(); stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // this tile is there, and everyone is done with the one before
    const QueryTiles<kQueries> next = tile.next();
    if (!next.done()) load_queries_of(next, stage ^ 1);
    Fragments<kRowTiles, kQueries> p = {}, dp = {};
    begin_ds_transposed<T, kD, kWhat, kVariant, kRowTiles, kQueries>(dp, at, stage);
    multiply_by_transposed<T, kD, kRowTiles, kQueries>(p, at.k(), at.q(stage));
    if constexpr (kVariant == Variant::kGeneral)
      change_scores<RowsAre::kKeys, kRowTiles, kQueries>(
          p, dp, a, {block.b, tile.h, block.first_row, tile.query});
    recompute_p_transposed<kRowTiles, kQueries>(p, at.values().max(stage),
                                                at.values().log2_sum(stage), a.scale_log2);
    hide_pairs_of_tile<kRowTiles, kQueries>(p, a, block.b, block.first_row, tile.query,
                                            seen_by_all);
    if constexpr (kWantV) multiply_from_registers<T, kD, kRowTiles, kQueries>(dv, p, at.d_o(stage));
    if constexpr (kWantK) {
      Fragments<kRowTiles, kQueries> ds = {};
      end_ds_transposed<T, kD, kWhat, kVariant, kRowTiles, kQueries>(ds, dp, p, at, stage);
      multiply_from_registers<T, kD, kRowTiles, kQueries>(dk, ds, at.q(stage));
    }
    tile = next;
  }
  store_gradients<T, kD, kWhat, kVariant>(a, block, dk, dv, at.k());
}

}  // namespace flashbench::cuda::mma_sm80

#pragma once

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/fragments/stages.cuh"
#include "cuda/fragments/tile_ranges.cuh"
#include "cuda/mma_sm80/mma_sm80_layout.h"
#include "cuda/mma_sm80/mma_sm80_problem.cuh"

/// FlashAttention-2, Algorithm 2, in three kernels without atomics, so that gradients are
/// bitwise equal from run to run: D, then dQ by blocks of queries, then dK and dV by blocks of
/// keys. P and dP are computed twice, seven products instead of five; in return no f32 dQ crosses
/// memory.
namespace flashbench::cuda::mma_sm80 {

using namespace fragments;

/// dS is made from P and dP. Under a soft cap scores have slopes: dP comes first and becomes (dP -
/// D)·slope while the scores change, so that slopes need no registers. The plain kernel has dP
/// last.
template <typename T, int kD, Variant kVariant, int kRowTiles, int kKeys>
__device__ __forceinline__ void begin_ds(Fragments<kRowTiles, kKeys>& ds,
                                         const RowStatistics<kRowTiles>& values,
                                         std::uint32_t do_tile, std::uint32_t v_tile) {
  if constexpr (kVariant == Variant::kPlain) return;
  multiply_by_transposed<T, kD, kRowTiles, kKeys>(ds, do_tile, v_tile);
  subtract_delta<kRowTiles, kKeys>(ds, values);
}
template <typename T, int kD, Variant kVariant, int kRowTiles, int kKeys>
__device__ __forceinline__ void end_ds(Fragments<kRowTiles, kKeys>& ds,
                                       const Fragments<kRowTiles, kKeys>& p,
                                       const RowStatistics<kRowTiles>& values,
                                       std::uint32_t do_tile, std::uint32_t v_tile) {
  if constexpr (kVariant == Variant::kPlain) {
    multiply_by_transposed<T, kD, kRowTiles, kKeys>(ds, do_tile, v_tile);
    softmax_gradient<kRowTiles, kKeys>(ds, p, values);
  } else {
    multiply_elements<kRowTiles, kKeys>(ds, ds, p);
  }
}

/// Writes dQ = scale·sum through the rows of Q, which nobody reads any more.
template <typename T, int kD, int kRowTiles>
__device__ __forceinline__ void store_dq(const Attention& a, const QueryBlock& block,
                                         const Fragments<kRowTiles, kD>& sum,
                                         std::uint32_t q_tile) {
  const float scale[2] = {a.scale, a.scale};
  // Recomputed: where dQ goes is not kept in registers during the loop, which spills on 10.0.
  const HeadRows to = query_rows(a, a.dq, rematerialized(block.b), rematerialized(block.h));
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
    store_rows<T, kD>(sum[t], scale, q_tile, warp_row<kRowTiles>() + 16 * t, to, block.first_row);
}

/// dQ = scale·dS·K for one block of queries.
template <typename T, int kD, Variant kVariant, typename Argument>
__device__ __forceinline__ void dq(const Argument& x) {
  constexpr TileShape kTile = dq_tile(kD);
  constexpr int kRowTiles = kTile.row_tiles, kKeys = kTile.columns;
  constexpr std::uint32_t kBlock = static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t q_tile = shared_address(shared), do_tile = q_tile + kBlock;
  const Stages<kD, kKeys, kTile.threads()> at{do_tile + kBlock};

  const auto& from = of_queries(x);
  const Attention& a = problem(from);
  const QueryBlock block = query_block(from, kTile.rows());
  const int h_kv = block.h / a.group;
  const KeyTiles tiles(a, block, kTile.rows(), kKeys);
  const int seen_by_all =
      end_of_keys_seen_by_all(a, block.b, block.first_row + warp_row<kRowTiles>());

  const auto load_keys_of = [&](int j) {
    load_keys<kVariant>(at, problem(from), rematerialized(block.b), rematerialized(h_kv), j);
  };
  if (tiles.first < tiles.end) {
    at.template load<kTile.rows()>(q_tile, query_rows(a, a.q, block.b, block.h), block.first_row);
    at.template load<kTile.rows()>(do_tile, query_values<kVariant>(a, a.d_o, block.b, block.h),
                                   block.first_row);
    load_keys_of(tiles.first);
  }
  RowStatistics<kRowTiles> values;
  values.load(problem(from), block.b, block.h, block.first_row);

  Fragments<kRowTiles, kD> sum = {};
  for (int j = tiles.first; j < tiles.end; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1
    if (j + 1 < tiles.end) load_keys_of(j + 1);
    Fragments<kRowTiles, kKeys> p = {}, ds = {};
    begin_ds<T, kD, kVariant, kRowTiles, kKeys>(ds, values, do_tile, at.second(j % 2));
    multiply_by_transposed<T, kD, kRowTiles, kKeys>(p, q_tile, at.first(j % 2));
    if constexpr (kVariant == Variant::kGeneral)
      change_scores<RowsAre::kQueries, kRowTiles, kKeys>(
          p, ds, problem(from), {block.b, block.h, block.first_row, j * kKeys});
    exponentiate<kRowTiles, kKeys>(p, values);
    // After exp: the scale may be negative.
    if (hides_keys<kKeys>(a, j, seen_by_all))
      hide_keys<kRowTiles, kKeys>(p, problem(from), block.b, block.first_row, j * kKeys, 0.0f);
    end_ds<T, kD, kVariant, kRowTiles, kKeys>(ds, p, values, do_tile, at.second(j % 2));
    multiply_from_registers<T, kD, kRowTiles, kKeys>(sum, ds, at.first(j % 2));
  }
  store_dq<T, kD, kRowTiles>(problem(from), block, sum, q_tile);
}

}  // namespace flashbench::cuda::mma_sm80

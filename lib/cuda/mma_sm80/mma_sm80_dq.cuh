#pragma once

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/fragments/tile.cuh"
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
  constexpr int kRowTiles = kTile.row_tiles, kKeys = kTile.columns, kThreads = kTile.threads();
  constexpr std::uint32_t kStage = static_cast<std::uint32_t>(tile_bytes(kD, kKeys));
  constexpr std::uint32_t kBlock = static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t q_tile = shared_address(shared), do_tile = q_tile + kBlock;
  const std::uint32_t k_tiles = do_tile + kBlock, v_tiles = k_tiles + 2 * kStage;

  const auto& from = of_queries(x);
  const Attention& a = problem(from);
  const QueryBlock block = query_block(from, kTile.rows());
  const int h_kv = block.h / a.group;
  const int last_query = min(block.first_row + kTile.rows(), a.q_len) - 1;
  const int first_tile = keys(a, block.b, block.first_row).begin / kKeys;
  const int tiles = (keys(a, block.b, last_query).end + kKeys - 1) / kKeys;
  const int seen_by_all =
      keys(a, block.b, min(block.first_row + warp_row<kRowTiles>(), a.q_len - 1)).end;

  const auto load_keys = [&](int j) {
    const int b = rematerialized(block.b), h = rematerialized(h_kv);
    const Attention& now = problem(from);
    load_tile<kD, kKeys, kThreads>(k_tiles + j % 2 * kStage, key_rows(now, now.k, b, h), j * kKeys);
    load_tile<kD, kKeys, kThreads>(v_tiles + j % 2 * kStage, key_values<kVariant>(now, now.v, b, h),
                                   j * kKeys);
  };
  if (first_tile < tiles) {
    load_tile<kD, kTile.rows(), kThreads>(q_tile, query_rows(a, a.q, block.b, block.h),
                                          block.first_row);
    load_tile<kD, kTile.rows(), kThreads>(
        do_tile, query_values<kVariant>(a, a.d_o, block.b, block.h), block.first_row);
    load_keys(first_tile);
    commit_copies();
  }
  RowStatistics<kRowTiles> values;
  values.load(problem(from), block.b, block.h, block.first_row);

  Fragments<kRowTiles, kD> sum = {};
  for (int j = first_tile; j < tiles; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1
    if (j + 1 < tiles) {
      load_keys(j + 1);
      commit_copies();
    }
    Fragments<kRowTiles, kKeys> p = {}, ds = {};
    begin_ds<T, kD, kVariant, kRowTiles, kKeys>(ds, values, do_tile, v_tiles + j % 2 * kStage);
    multiply_by_transposed<T, kD, kRowTiles, kKeys>(p, q_tile, k_tiles + j % 2 * kStage);
    if constexpr (kVariant == Variant::kGeneral)
      change_scores<RowsAre::kQueries, kRowTiles, kKeys>(
          p, ds, problem(from), {block.b, block.h, block.first_row, j * kKeys});
    exponentiate<kRowTiles, kKeys>(p, values);
    // After exp: the scale may be negative.
    if ((j + 1) * kKeys > seen_by_all || rows_begin_later(a))
      hide_keys<kRowTiles, kKeys>(p, problem(from), block.b, block.first_row, j * kKeys, 0.0f);
    end_ds<T, kD, kVariant, kRowTiles, kKeys>(ds, p, values, do_tile, v_tiles + j % 2 * kStage);
    multiply_from_registers<T, kD, kRowTiles, kKeys>(sum, ds, k_tiles + j % 2 * kStage);
  }
  store_dq<T, kD, kRowTiles>(problem(from), block, sum, q_tile);
}

}  // namespace flashbench::cuda::mma_sm80

#pragma once

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/fragments/stages.cuh"
#include "cuda/fragments/tile_ranges.cuh"
#include "cuda/mma_sm80/mma_sm80_layout.h"
#include "cuda/mma_sm80/mma_sm80_problem.cuh"

/// FlashAttention-2, Algorithm 1, on the tensor cores of sm_80 and later.
namespace flashbench::cuda::mma_sm80 {

using namespace fragments;

/// softmax(scale·QKᵀ) = softmax(|scale|·(sign·Q)Kᵀ): the running maximum wants a positive factor.
/// Changes the rows of Q that this warp alone reads; exact in 16 bits.
template <int kD, int kRowTiles>
__device__ __forceinline__ void fold_sign_into_queries(std::uint32_t q_tile, float scale) {
#pragma unroll 1
  for (int i = lane(); i < kMatrixRows * kRowTiles * kD / kChunk; i += 32) {
    const std::uint32_t at =
        chunk_at<kD>(q_tile, warp_row<kRowTiles>() + i / (kD / kChunk), i % (kD / kChunk));
    const uint4 v = load_shared_16(at);
    const std::uint32_t keep = scale == 0.0f ? 0u : ~0u, flip = scale < 0.0f ? 0x80008000u : 0u;
    store_shared(
        at, {(v.x & keep) ^ flip, (v.y & keep) ^ flip, (v.z & keep) ^ flip, (v.w & keep) ^ flip});
  }
  __syncwarp();
}

/// Writes O = O / sum, and LSE.
template <typename T, int kD, Variant kVariant, int kRowTiles>
__device__ __forceinline__ void finish(const Attention& a, const QueryBlock& block,
                                       const Fragments<kRowTiles, kD>& o,
                                       const RunningSoftmax<kRowTiles>& state, float scale_log2,
                                       std::uint32_t q_tile) {
  const HeadRows to = query_values<kVariant>(a, a.o, block.b, block.h);
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t) {
    const int row = warp_row<kRowTiles>() + 16 * t;
    float inverse[2];
    finish_rows<kVariant>(a, block, row, state, t, scale_log2, inverse);
    store_rows<T, kD>(o[t], inverse, q_tile, row, to, block.first_row);
  }
}

/// O and LSE for one block of queries. K and V tile j + 1 arrive while tile j is computed.
template <typename T, int kD, Variant kVariant, typename Argument>
__device__ __forceinline__ void forward(const Argument& x) {
  constexpr TileShape kTile = forward_tile(kD);
  constexpr int kRowTiles = kTile.row_tiles, kKeys = kTile.columns;
  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t q_tile = shared_address(shared);
  const Stages<kD, kKeys, kTile.threads()> at{
      q_tile + static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()))};

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
    load_keys_of(tiles.first);
  }
  Fragments<kRowTiles, kD> o = {};
  RunningSoftmax<kRowTiles> state;
  state.reset();
  const float scale_log2 =
      a.scale == 0.0f && takes_products<kVariant>(a) ? 1.0f : fabsf(a.scale_log2);
  for (int j = tiles.first; j < tiles.end; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1
    if (j + 1 < tiles.end) load_keys_of(j + 1);
    if (j == tiles.first && a.scale <= 0.0f && takes_products<kVariant>(a))
      fold_sign_into_queries<kD, kRowTiles>(q_tile, a.scale);

    Fragments<kRowTiles, kKeys> s = {};
    multiply_by_transposed<T, kD, kRowTiles, kKeys>(s, q_tile, at.first(j % 2));
    if constexpr (kVariant == Variant::kGeneral)
      change_scores<RowsAre::kQueries, kRowTiles, kKeys>(
          s, problem(from), {block.b, block.h, block.first_row, j * kKeys});
    if (hides_keys<kKeys>(a, j, seen_by_all))
      hide_keys<kRowTiles, kKeys>(s, problem(from), block.b, block.first_row, j * kKeys, -kInf);
    absorb<kRowTiles, kKeys, kD>(s, state, o, scale_log2);
    multiply_from_registers<T, kD, kRowTiles, kKeys>(o, s, at.second(j % 2));
  }
  finish<T, kD, kVariant>(problem(from), block, o, state, scale_log2, q_tile);
}

}  // namespace flashbench::cuda::mma_sm80

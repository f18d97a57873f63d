#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80_products.cuh"

namespace flashbench::cuda::mma_bf16x6_sm80 {

/// dQ = scale·dS·K for one block of queries.
template <int kD>
__device__ __forceinline__ void dq(const Attention& a) {
  constexpr TileShape kTile = dq_tile(kD);
  constexpr int kRowTiles = kTile.row_tiles, kKeys = kTile.columns, kThreads = kTile.threads();
  constexpr auto kStage = static_cast<std::uint32_t>(tile_bytes(kD, kKeys));
  constexpr auto kBlock = static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t q_tile = shared_address(shared), do_tile = q_tile + kBlock;
  const std::uint32_t k_tiles = do_tile + kBlock, v_tiles = k_tiles + 2 * kStage;

  const QueryBlock block(a, kTile.rows());
  const int h_kv = block.h / a.group, first_warp_row = block.first_row + warp_row<kRowTiles>();
  const int last_query = min(block.first_row + kTile.rows(), a.q_len) - 1;
  const int first_tile = keys(a, block.b, block.first_row).begin / kKeys;
  const int tiles = (keys(a, block.b, last_query).end + kKeys - 1) / kKeys;
  const int seen_by_all = keys(a, block.b, min(first_warp_row, a.q_len - 1)).end;

  const auto load_keys = [&](int j) {
    const int b = rematerialized(block.b), h = rematerialized(h_kv);
    load_tile<units(kD), kKeys, kThreads>(k_tiles + j % 2 * kStage, float_key_rows(a, a.k, b, h),
                                          j * kKeys);
    load_tile<units(kD), kKeys, kThreads>(v_tiles + j % 2 * kStage, float_key_rows(a, a.v, b, h),
                                          j * kKeys);
  };
  if (first_tile < tiles) {
    load_tile<units(kD), kTile.rows(), kThreads>(q_tile, float_query_rows(a, a.q, block.b, block.h),
                                                 block.first_row);
    load_tile<units(kD), kTile.rows(), kThreads>(
        do_tile, float_query_rows(a, a.d_o, block.b, block.h), block.first_row);
    load_keys(first_tile);
    commit_copies();
  }
  RowStatistics<kRowTiles> values;
  values.load(a, block.b, block.h, block.first_row);

  Fragments<kRowTiles, kD> sum = {};
  for (int j = first_tile; j < tiles; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1
    if (j + 1 < tiles) {
      load_keys(j + 1);
      commit_copies();
    }
    Fragments<kRowTiles, kKeys> p = {}, ds = {};
    multiply_by_transposed<ARowsAre::kQueries, kD, kRowTiles, kKeys>(p, q_tile,
                                                                     k_tiles + j % 2 * kStage);
    exponentiate<kRowTiles, kKeys>(p, values);
    // After exp: the scale may be negative.
    if ((j + 1) * kKeys > seen_by_all || rows_begin_later(a))
      hide_keys<kRowTiles, kKeys>(p, a, block.b, block.first_row, j * kKeys, 0.0f);
    multiply_by_transposed<ARowsAre::kQueries, kD, kRowTiles, kKeys>(ds, do_tile,
                                                                     v_tiles + j % 2 * kStage);
    softmax_gradient<kRowTiles, kKeys>(ds, p, values);
    multiply_from_registers<kD, kRowTiles, kKeys>(sum, ds, k_tiles + j % 2 * kStage);
  }
  const float scale[2] = {a.scale, a.scale};
  const HeadRows to = float_query_rows(a, a.dq, block.b, block.h);
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t) store_rows<kD>(sum[t], scale, to, first_warp_row + 16 * t);
}

}  // namespace flashbench::cuda::mma_bf16x6_sm80

#define FLASHBENCH_DQ(d)                                                               \
  extern "C" __global__ void __launch_bounds__(                                        \
      flashbench::cuda::mma_bf16x6_sm80::dq_tile(d).threads(), 1)                      \
      mma_bf16x6_sm80_dq_d##d(const __grid_constant__ flashbench::cuda::Attention a) { \
    flashbench::cuda::mma_bf16x6_sm80::dq<d>(a);                                       \
  }
FLASHBENCH_DQ(32)
FLASHBENCH_DQ(64)
FLASHBENCH_DQ(96)
FLASHBENCH_DQ(128)

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80_products.cuh"

namespace flashbench::cuda::mma_bf16x6_sm80 {

/// dQ = scale·dS·K for one block of queries.
template <int kD>
__device__ __forceinline__ void dq(const Attention& a) {
  constexpr TileShape kTile = dq_tile(kD);
  constexpr int kRowTiles = kTile.row_tiles, kKeys = kTile.columns;
  constexpr auto kBlock = static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t q_tile = shared_address(shared), do_tile = q_tile + kBlock;
  const Stages<units(kD), kKeys, kTile.threads(), kUnitsOfFloat> at{do_tile + kBlock};

  const QueryBlock block(a, kTile.rows());
  const int h_kv = block.h / a.group, first_warp_row = block.first_row + warp_row<kRowTiles>();
  const KeyTiles tiles(a, block, kTile.rows(), kKeys);
  const int seen_by_all = end_of_keys_seen_by_all(a, block.b, first_warp_row);

  const auto load_keys_of = [&](int j) {
    load_keys<Variant::kPlain>(at, a, rematerialized(block.b), rematerialized(h_kv), j);
  };
  if (tiles.first < tiles.end) {
    at.template load<kTile.rows()>(q_tile, query_rows<kUnitsOfFloat>(a, a.q, block.b, block.h),
                                   block.first_row);
    at.template load<kTile.rows()>(do_tile, query_rows<kUnitsOfFloat>(a, a.d_o, block.b, block.h),
                                   block.first_row);
    load_keys_of(tiles.first);
  }
  RowStatistics<kRowTiles> values;
  values.load(a, block.b, block.h, block.first_row);

  Fragments<kRowTiles, kD> sum = {};
  for (int j = tiles.first; j < tiles.end; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1
    if (j + 1 < tiles.end) load_keys_of(j + 1);
    Fragments<kRowTiles, kKeys> p = {}, ds = {};
    multiply_by_transposed<ARowsAre::kQueries, kD, kRowTiles, kKeys>(p, q_tile, at.first(j % 2));
    exponentiate<kRowTiles, kKeys>(p, values);
    // After exp: the scale may be negative.
    if (hides_keys<kKeys>(a, j, seen_by_all))
      hide_keys<kRowTiles, kKeys>(p, a, block.b, block.first_row, j * kKeys, 0.0f);
    multiply_by_transposed<ARowsAre::kQueries, kD, kRowTiles, kKeys>(ds, do_tile, at.second(j % 2));
    softmax_gradient<kRowTiles, kKeys>(ds, p, values);
    multiply_from_registers<kD, kRowTiles, kKeys>(sum, ds, at.first(j % 2));
  }
  const float scale[2] = {a.scale, a.scale};
  const HeadRows to = query_rows<kUnitsOfFloat>(a, a.dq, block.b, block.h);
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

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80_products.cuh"

namespace flashbench::cuda::mma_bf16x6_sm80 {

/// Where the operands lie; two stages of what is streamed.
template <int kD>
struct KvShared {
  static constexpr TileShape kTile = dkdv_tile(kD);
  static constexpr auto kBlock = static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
  std::uint32_t base;

  __device__ std::uint32_t k() const { return base; }
  __device__ std::uint32_t v() const { return base + kBlock; }
  __device__ Stages<units(kD), kTile.columns, kTile.threads(), kUnitsOfFloat> queries() const {
    return {v() + kBlock};
  }
  __device__ std::uint32_t q(int stage) const { return queries().first(stage); }
  __device__ std::uint32_t d_o(int stage) const { return queries().second(stage); }
  __device__ RowValues<kTile.columns, kTile.threads()> values() const {
    return {queries().behind()};
  }
};

/// dV = PᵀdO and dK = scale·dSᵀQ for one block of keys, summed over the queries that see them and
/// the query heads that share them.
template <int kD>
__device__ __forceinline__ void dkdv(const Attention& a) {
  constexpr TileShape kTile = dkdv_tile(kD);
  constexpr int kRowTiles = kTile.row_tiles, kQueries = kTile.columns;
  extern __shared__ __align__(128) unsigned char shared[];
  const KvShared<kD> at{shared_address(shared)};

  const KeyBlock block(a, kTile.rows());
  const int kept = kept_count(a, block.b);
  if (block.first_row >= kept) return;
  const int seen_by_all =
      query_that_all_keys_see(a, block, kept, warp_row<kRowTiles>(), kMatrixRows * kRowTiles);
  QueryTiles<kQueries> tile(a, block, kTile.rows());
  const auto load_queries_of = [&](const QueryTiles<kQueries>& t, int stage) {
    load_queries<Variant::kPlain>(at.queries(), at.values(), a, rematerialized(block.b), t.h,
                                  t.query, stage);
  };
  if (!tile.done()) {
    load_tile<units(kD), kTile.rows(), kTile.threads()>(
        at.k(), key_rows<kUnitsOfFloat>(a, a.k, block.b, block.h_kv), block.first_row);
    load_tile<units(kD), kTile.rows(), kTile.threads()>(
        at.v(), key_rows<kUnitsOfFloat>(a, a.v, block.b, block.h_kv), block.first_row);
    load_queries_of(tile, 0);
  }
  Fragments<kRowTiles, kD> dk = {}, dv = {};
  for (int stage = 0; !tile.done(); stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // this tile is there, and everyone is done with the one before
    const QueryTiles<kQueries> next = tile.next();
    if (!next.done()) load_queries_of(next, stage ^ 1);
    Fragments<kRowTiles, kQueries> p = {}, ds = {};
    multiply_by_transposed<ARowsAre::kKeys, kD, kRowTiles, kQueries>(p, at.k(), at.q(stage));
    // Maximum and sum apart: added up, they would be rounded to more than f32 may.
    recompute_large_p_transposed<kRowTiles, kQueries>(p, at.values().max(stage),
                                                      at.values().log2_sum(stage), a.scale_log2);
    hide_pairs_of_tile<kRowTiles, kQueries>(p, a, block.b, block.first_row, tile.query,
                                            seen_by_all);
    multiply_from_registers<kD, kRowTiles, kQueries>(dv, p, at.d_o(stage));
    multiply_by_transposed<ARowsAre::kKeys, kD, kRowTiles, kQueries>(ds, at.v(), at.d_o(stage));
    softmax_gradient_transposed<kRowTiles, kQueries>(ds, p, at.values().delta(stage));
    multiply_from_registers<kD, kRowTiles, kQueries>(dk, ds, at.q(stage));
    tile = next;
  }
  const float scale[2] = {a.scale, a.scale}, one[2] = {1.0f, 1.0f};
  const int b = rematerialized(block.b), h_kv = rematerialized(block.h_kv);
  const int first = rematerialized(block.first_row) + warp_row<kRowTiles>();
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t) {
    store_rows<kD>(dv[t], one, key_rows<kUnitsOfFloat>(a, a.dv, b, h_kv), first + 16 * t);
    store_rows<kD>(dk[t], scale, key_rows<kUnitsOfFloat>(a, a.dk, b, h_kv), first + 16 * t);
  }
}

}  // namespace flashbench::cuda::mma_bf16x6_sm80

#define FLASHBENCH_DKDV(d)                                                               \
  extern "C" __global__ void __launch_bounds__(                                          \
      flashbench::cuda::mma_bf16x6_sm80::dkdv_tile(d).threads(), 1)                      \
      mma_bf16x6_sm80_dkdv_d##d(const __grid_constant__ flashbench::cuda::Attention a) { \
    flashbench::cuda::mma_bf16x6_sm80::dkdv<d>(a);                                       \
  }
FLASHBENCH_DKDV(32)
FLASHBENCH_DKDV(64)
FLASHBENCH_DKDV(96)
FLASHBENCH_DKDV(128)

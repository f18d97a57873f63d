#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80_products.cuh"

namespace flashbench::cuda::mma_bf16x6_sm80 {

/// Where the operands lie; two stages of what is streamed.
template <int kD>
struct KvShared {
  static constexpr TileShape kTile = dkdv_tile(kD);
  static constexpr auto kBlock = static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
  static constexpr auto kStage = static_cast<std::uint32_t>(tile_bytes(kD, kTile.columns));
  static constexpr std::uint32_t kRowValues = kTile.columns * sizeof(float);
  std::uint32_t base;

  __device__ std::uint32_t k() const { return base; }
  __device__ std::uint32_t v() const { return base + kBlock; }
  __device__ std::uint32_t q(int stage) const { return v() + kBlock + stage * kStage; }
  __device__ std::uint32_t d_o(int stage) const { return q(2) + stage * kStage; }
  /// Maxima, sums and D: three rows of values a stage.
  __device__ std::uint32_t values(int which, int stage) const {
    return d_o(2) + (2 * which + stage) * kRowValues;
  }

  __device__ __forceinline__ void load_queries(const Attention& a, int b, int h, int first,
                                               int stage) const {
    load_tile<units(kD), kTile.columns, kTile.threads()>(q(stage), float_query_rows(a, a.q, b, h),
                                                         first);
    load_tile<units(kD), kTile.columns, kTile.threads()>(d_o(stage),
                                                         float_query_rows(a, a.d_o, b, h), first);
    static_assert(3 * kTile.columns <= kTile.threads());
    const unsigned which = thread() / kTile.columns, column = thread() % kTile.columns;
    if (which > 2) return;
    const int query = first + static_cast<int>(column);
    const bool valid = query < a.q_len;
    const float* const all = which == 0 ? a.row_max : which == 1 ? a.row_log2_sum : a.delta;
    const float* const from = all + row_offset(a, b, h);
    copy_4_async(values(static_cast<int>(which), stage) + column * sizeof(float),
                 valid ? from + query : from, valid);
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
  const int keys = kept_count(a, block.b);
  if (block.first_row >= keys) return;
  const int last_key = block.first_row + warp_row<kRowTiles>() + 16 * kRowTiles - 1;
  // From this query on every key of the warp is seen: tiles need no mask. Ragged keys always do.
  const int seen_by_all = last_key < keys ? queries(a, block.b, last_key).begin : a.q_len;
  QueryTiles<kQueries> tile(a, block, kTile.rows());
  if (!tile.done()) {
    load_tile<units(kD), kTile.rows(), kTile.threads()>(
        at.k(), float_key_rows(a, a.k, block.b, block.h_kv), block.first_row);
    load_tile<units(kD), kTile.rows(), kTile.threads()>(
        at.v(), float_key_rows(a, a.v, block.b, block.h_kv), block.first_row);
    at.load_queries(a, block.b, tile.h, tile.query, 0);
    commit_copies();
  }
  Fragments<kRowTiles, kD> dk = {}, dv = {};
  for (int stage = 0; !tile.done(); stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // this tile is there, and everyone is done with the one before
    const QueryTiles<kQueries> next = tile.next();
    if (!next.done()) {
      at.load_queries(a, rematerialized(block.b), next.h, next.query, stage ^ 1);
      commit_copies();
    }
    Fragments<kRowTiles, kQueries> p = {}, ds = {};
    multiply_by_transposed<ARowsAre::kKeys, kD, kRowTiles, kQueries>(p, at.k(), at.q(stage));
    // Maximum and sum apart: added up, they would be rounded to more than f32 may.
    recompute_large_p_transposed<kRowTiles, kQueries>(p, at.values(0, stage), at.values(1, stage),
                                                      a.scale_log2);
    if (tile.query < seen_by_all || tile.query + kQueries > a.q_len || rows_begin_later(a))
      hide_pairs<kRowTiles, kQueries>(p, a, block.b, block.first_row, tile.query);
    multiply_from_registers<kD, kRowTiles, kQueries>(dv, p, at.d_o(stage));
    multiply_by_transposed<ARowsAre::kKeys, kD, kRowTiles, kQueries>(ds, at.v(), at.d_o(stage));
    softmax_gradient_transposed<kRowTiles, kQueries>(ds, p, at.values(2, stage));
    multiply_from_registers<kD, kRowTiles, kQueries>(dk, ds, at.q(stage));
    tile = next;
  }
  const float scale[2] = {a.scale, a.scale}, one[2] = {1.0f, 1.0f};
  const int b = rematerialized(block.b), h_kv = rematerialized(block.h_kv);
  const int first = rematerialized(block.first_row) + warp_row<kRowTiles>();
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t) {
    store_rows<kD>(dv[t], one, float_key_rows(a, a.dv, b, h_kv), first + 16 * t);
    store_rows<kD>(dk[t], scale, float_key_rows(a, a.dk, b, h_kv), first + 16 * t);
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

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80_products.cuh"

/// FlashAttention-2, Algorithm 1, of f32 tensors on the tensor cores of sm_80 and later.
namespace flashbench::cuda::mma_bf16x6_sm80 {

/// softmax(scale·QKᵀ) = softmax(|scale|·(sign·QKᵀ)): the running maximum wants a positive factor.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void take_sign(Fragments<kRowTiles, kColumns>& s, float scale) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) s[t][n][c] = scale == 0.0f ? 0.0f : -s[t][n][c];
}

/// O and LSE for one block of queries. K and V tile j + 1 arrive while tile j is computed.
template <int kD>
__device__ __forceinline__ void forward(const Attention& a) {
  constexpr TileShape kTile = forward_tile(kD);
  constexpr int kRowTiles = kTile.row_tiles, kKeys = kTile.columns, kThreads = kTile.threads();
  constexpr auto kStage = static_cast<std::uint32_t>(tile_bytes(kD, kKeys));
  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t q_tile = shared_address(shared);
  const std::uint32_t k_tiles = q_tile + static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
  const std::uint32_t v_tiles = k_tiles + 2 * kStage;

  const QueryBlock block(a, kTile.rows());
  const int h_kv = block.h / a.group, first_warp_row = block.first_row + warp_row<kRowTiles>();
  const int last_query = min(block.first_row + kTile.rows(), a.q_len) - 1;
  const int first_tile = keys(a, block.b, block.first_row).begin / kKeys;
  const int tiles = (keys(a, block.b, last_query).end + kKeys - 1) / kKeys;
  // Keys before this one are seen by all rows of the warp: their tiles need no mask.
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
    load_keys(first_tile);
    commit_copies();
  }
  Fragments<kRowTiles, kD> o = {};
  RunningSoftmax<kRowTiles> state;
  state.reset();
  const float scale_log2 = a.scale == 0.0f ? 1.0f : fabsf(a.scale_log2);
  for (int j = first_tile; j < tiles; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1
    if (j + 1 < tiles) {
      load_keys(j + 1);
      commit_copies();
    }
    Fragments<kRowTiles, kKeys> s = {};
    multiply_by_transposed<ARowsAre::kQueries, kD, kRowTiles, kKeys>(s, q_tile,
                                                                     k_tiles + j % 2 * kStage);
    if (a.scale <= 0.0f) take_sign<kRowTiles, kKeys>(s, a.scale);
    if ((j + 1) * kKeys > seen_by_all || rows_begin_later(a))
      hide_keys<kRowTiles, kKeys>(s, a, block.b, block.first_row, j * kKeys, -kInf);
    absorb<kRowTiles, kKeys, kD>(s, state, o, scale_log2);
    multiply_from_registers<kD, kRowTiles, kKeys>(o, s, v_tiles + j % 2 * kStage);
  }
  const HeadRows to = float_query_rows(a, a.o, block.b, block.h);
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t) {
    float inverse[2];
    finish_rows(a, block, warp_row<kRowTiles>() + 16 * t, state, t, scale_log2, inverse);
    store_rows<kD>(o[t], inverse, to, first_warp_row + 16 * t);
  }
}

}  // namespace flashbench::cuda::mma_bf16x6_sm80

#define FLASHBENCH_FORWARD(d)                                                               \
  extern "C" __global__ void __launch_bounds__(                                             \
      flashbench::cuda::mma_bf16x6_sm80::forward_tile(d).threads(), 1)                      \
      mma_bf16x6_sm80_forward_d##d(const __grid_constant__ flashbench::cuda::Attention a) { \
    flashbench::cuda::mma_bf16x6_sm80::forward<d>(a);                                       \
  }
FLASHBENCH_FORWARD(32)
FLASHBENCH_FORWARD(64)
FLASHBENCH_FORWARD(96)
FLASHBENCH_FORWARD(128)

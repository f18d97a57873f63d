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
  constexpr int kRowTiles = kTile.row_tiles, kKeys = kTile.columns;
  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t q_tile = shared_address(shared);
  const Stages<units(kD), kKeys, kTile.threads(), kUnitsOfFloat> at{
      q_tile + static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()))};

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
    load_keys_of(tiles.first);
  }
  Fragments<kRowTiles, kD> o = {};
  RunningSoftmax<kRowTiles> state;
  state.reset();
  const float scale_log2 = a.scale == 0.0f ? 1.0f : fabsf(a.scale_log2);
  for (int j = tiles.first; j < tiles.end; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1
    if (j + 1 < tiles.end) load_keys_of(j + 1);
    Fragments<kRowTiles, kKeys> s = {};
    multiply_by_transposed<ARowsAre::kQueries, kD, kRowTiles, kKeys>(s, q_tile, at.first(j % 2));
    if (a.scale <= 0.0f) take_sign<kRowTiles, kKeys>(s, a.scale);
    if (hides_keys<kKeys>(a, j, seen_by_all))
      hide_keys<kRowTiles, kKeys>(s, a, block.b, block.first_row, j * kKeys, -kInf);
    absorb<kRowTiles, kKeys, kD>(s, state, o, scale_log2);
    multiply_from_registers<kD, kRowTiles, kKeys>(o, s, at.second(j % 2));
  }
  const HeadRows to = query_rows<kUnitsOfFloat>(a, a.o, block.b, block.h);
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

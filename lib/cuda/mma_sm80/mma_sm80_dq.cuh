#pragma once

#include "cuda/mma_sm80/mma_sm80_backward.cuh"

namespace flashbench::cuda::mma_sm80 {

/// What each of this thread's queries brings from the forward pass.
template <int kRowTiles>
struct QueryValues {
  float lse_log2[kRowTiles][2], delta[kRowTiles][2];

  __device__ __forceinline__ void load(const Attention& a, int b, int h, int first) {
    const std::int64_t values = row_values(a, b, h);
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int q = first + warp_row<kRowTiles>() + 16 * t + fragment_row(half);
        lse_log2[t][half] = q < a.q_len ? a.lse[values + q] * kLog2E : 0.0f;
        delta[t][half] = q < a.q_len ? a.delta[values + q] : 0.0f;
      }
  }
};

/// P = exp(scale·s - LSE).
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void recompute_p(Fragments<kRowTiles, kColumns>& s,
                                            const QueryValues<kRowTiles>& values,
                                            float scale_log2) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        s[t][n][c] = exp2_fast(fmaf(s[t][n][c], scale_log2, -values.lse_log2[t][c / 2]));
}

/// dS = P∘(dP - D), in place of dP.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void softmax_gradient(Fragments<kRowTiles, kColumns>& dp,
                                                 const Fragments<kRowTiles, kColumns>& p,
                                                 const QueryValues<kRowTiles>& values) {
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) dp[t][n][c] = p[t][n][c] * (dp[t][n][c] - values.delta[t][c / 2]);
}

/// dQ = scale·dS·K for one block of queries.
template <typename T, int kD>
__device__ __forceinline__ void dq(const Attention& a) {
  constexpr TileShape kTile = dq_tile(kD);
  constexpr int kRowTiles = kTile.row_tiles, kKeys = kTile.columns, kThreads = kTile.threads();
  constexpr std::uint32_t kStage = static_cast<std::uint32_t>(tile_bytes(kD, kKeys));
  constexpr std::uint32_t kBlock = static_cast<std::uint32_t>(tile_bytes(kD, kTile.rows()));
  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t q_tile = shared_address(shared), do_tile = q_tile + kBlock;
  const std::uint32_t k_tiles = do_tile + kBlock, v_tiles = k_tiles + 2 * kStage;

  const QueryBlock block(a, kTile.rows());
  const int h_kv = block.h / a.group;
  const int last_query = min(block.first + kTile.rows(), a.q_len) - 1;
  const int first_tile = keys(a, block.b, block.first).begin / kKeys;
  const int tiles = (keys(a, block.b, last_query).end + kKeys - 1) / kKeys;
  const int seen_by_all =
      keys(a, block.b, min(block.first + warp_row<kRowTiles>(), a.q_len - 1)).end;

  const auto load_keys = [&](int j) {
    const int b = recomputed(block.b), h = recomputed(h_kv);
    load_tile<kD, kKeys, kThreads>(k_tiles + j % 2 * kStage, key_rows(a, a.k, b, h), j * kKeys);
    load_tile<kD, kKeys, kThreads>(v_tiles + j % 2 * kStage, key_rows(a, a.v, b, h), j * kKeys);
  };
  if (first_tile < tiles) {
    load_tile<kD, kTile.rows(), kThreads>(q_tile, query_rows(a, a.q, block.b, block.h),
                                          block.first);
    load_tile<kD, kTile.rows(), kThreads>(do_tile, query_rows(a, a.d_o, block.b, block.h),
                                          block.first);
    load_keys(first_tile);
    commit_copies();
  }
  QueryValues<kRowTiles> values;
  values.load(a, block.b, block.h, block.first);

  Fragments<kRowTiles, kD> sum = {};
  for (int j = first_tile; j < tiles; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1
    if (j + 1 < tiles) {
      load_keys(j + 1);
      commit_copies();
    }
    Fragments<kRowTiles, kKeys> p = {}, ds = {};
    multiply_by_transposed<T, kD, kRowTiles, kKeys>(p, q_tile, k_tiles + j % 2 * kStage);
    recompute_p<kRowTiles, kKeys>(p, values, a.scale_log2);
    // After exp: the LSE of a row that sees nothing is -inf, and the scale may be negative.
    if ((j + 1) * kKeys > seen_by_all || rows_begin_later(a))
      hide_keys<kRowTiles, kKeys>(p, a, block.b, block.first, j * kKeys, 0.0f);
    multiply_by_transposed<T, kD, kRowTiles, kKeys>(ds, do_tile, v_tiles + j % 2 * kStage);
    softmax_gradient<kRowTiles, kKeys>(ds, p, values);
    multiply_from_registers<T, kD, kRowTiles, kKeys>(sum, ds, k_tiles + j % 2 * kStage);
  }
  const float scale[2] = {a.scale, a.scale};
  // Recomputed: where dQ goes is not kept in registers during the loop, which spills on 10.0.
  const HeadRows to = query_rows(a, a.dq, recomputed(block.b), recomputed(block.h));
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t)
    store_rows<T, kD>(sum[t], scale, q_tile, warp_row<kRowTiles>() + 16 * t, to, block.first);
}

}  // namespace flashbench::cuda::mma_sm80

#pragma once

#include "cuda/wgmma_sm90a/wgmma_sm90a_backward.cuh"

/// dK and dV where those of 64 keys are more than one warpgroup can hold: two have the same keys.
/// One makes Pᵀ, the other dSᵀ; both are exchanged through shared memory, and each adds products
/// with them to its own columns of dV and dK.
namespace flashbench::cuda::wgmma_sm90a {

/// What both have: the walk over tiles of queries, and columns kOwn of the sums.
///
/// A tile's products come in one line: Sᵀ, then dPᵀ under the exponentials, dV under the making of
/// dSᵀ, dK; and Sᵀ of the next tile is issued behind dK.
template <typename T, int kD, int kGroup>
struct WideKeyConsumer {
  static constexpr TileShape kTile = dkdv_tile(kD);
  static constexpr int kQueries = kTile.columns;
  static constexpr GradientColumns kOwn = gradient_columns(kD, kGroup);
  static constexpr bool kMakesWeights = kGroup == 0;  ///< the other one makes dSᵀ
  using Places = GradientShared<kD, kTile>;

  const Attention& a;
  Places places;
  const KeyBlock block;
  const int
      seen_by_all;  ///< from this query on every key of the warp is seen: no tile needs a mask
  QueryTiles<kQueries> tile;
  PipelineState<kTile.stages> pipe;
  Fragments<1, kQueries> p;  ///< Sᵀ and Pᵀ, or dPᵀ and dSᵀ
  Fragments<1, kOwn.dv> dv;
  Fragments<1, kOwn.dk> dk;

  __device__ __forceinline__ const Places& shared() const { return places; }

  __device__ __forceinline__ void start_dv() {
    start_shared<T, kQueries, kOwn.dv>(dv, places.weights(), places.streamed_dp(pipe.stage()),
                                       kOwn.first_dv);
  }
  __device__ __forceinline__ void start_dk() {
    start_shared<T, kQueries, kOwn.dk>(dk, places.score_gradients(),
                                       places.streamed_s(pipe.stage()), kOwn.first_dk);
  }

  /// Where Pᵀ in f32 of columns 8n .. 8n + 7 passes from a thread to the one with its number in the
  /// other warpgroup. What warp w reads there includes all places of its rows of dSᵀ, and no other
  /// warp's.
  __device__ __forceinline__ std::uint32_t exact_weights(int n) const {
    static_assert(kQueries == 64);
    const int warp = fragments::warp() % 4;
    return places.score_gradients() +
           static_cast<std::uint32_t>(n / 4 * 8192 + warp * 2048 + n % 4 * 512 +
                                      fragments::lane() * 16);
  }

  /// In every tile the base is made anew: of a kept one ptxas keeps the descriptors of all operands
  /// that stay, more than there are uniform registers, and spills.
  __device__ __forceinline__ void begin_tile() { places.base = uniform(places.base); }

  /// Issues Sᵀ of the tile.
  __device__ __forceinline__ void start_scores() {
    begin_tile();
    wait(places.full(pipe.stage()), pipe.parity());
    start_by_transposed<T, kD, kQueries>(p, places.resident_s(0), places.streamed_s(pipe.stage()));
  }

  /// A tile whose Sᵀ is there; its dSᵀQ is in flight afterwards.
  __device__ __forceinline__ void add_tile_by_weights() {
    sync_consumers(kScoresThere);
    make_weights_transposed<kQueries>(p, *this);
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n) store_shared(exact_weights(n), p[0][n]);
    hand_over<T, kQueries>(p, places.weights());
    sync_consumers(kWeightsThere);
    start_dv();
    sync_consumers(kGradientsThere);
    start_dk();
  }

  /// All tiles, of which there is one at least, of the warpgroup that makes Pᵀ. See
  /// KeyConsumer::add_tiles.
  __device__ __forceinline__ void add_tiles_by_weights() {
    start_scores();
    wait_for_products<0>();
    clear();
    add_tile_by_weights();
#pragma unroll 1
    for (tile = tile.next(); !tile.done(); tile = tile.next()) {
      ++pipe.count;
      start_scores();
      wait_for_products<1>();
      release(places.empty(pipe.previous().stage()));
      wait_for_products<0>();
      add_tile_by_weights();
    }
    wait_for_products<0>();
  }

  /// dSᵀ = Pᵀ∘(dPᵀ - D), in place of dPᵀ.
  __device__ __forceinline__ void make_gradients() {
    const std::uint32_t delta =
        places.delta(pipe.stage()) + static_cast<std::uint32_t>(fragments::fragment_column() * 4);
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n) {
      const float4 weights = load_shared_float4(exact_weights(n));
      const float2 d = fragments::load_shared_pair(delta + 32 * n);
      p[0][n][0] = weights.x * (p[0][n][0] - d.x);
      p[0][n][1] = weights.y * (p[0][n][1] - d.y);
      p[0][n][2] = weights.z * (p[0][n][2] - d.x);
      p[0][n][3] = weights.w * (p[0][n][3] - d.y);
    }
    __syncwarp();  // all lanes have read Pᵀ where dSᵀ goes
  }

  /// All tiles of the warpgroup that makes dSᵀ.
  __device__ __forceinline__ void add_tiles_by_gradients() {
    clear();
#pragma unroll 1
    for (; !tile.done(); tile = tile.next(), ++pipe.count) {
      begin_tile();
      wait(places.full(pipe.stage()), pipe.parity());
      sync_consumers(kScoresThere);
      start_by_transposed<T, kD, kQueries>(p, places.resident_dp(0),
                                           places.streamed_dp(pipe.stage()));
      sync_consumers(kWeightsThere);
      start_dv();
      wait_for_products<1>();
      make_gradients();
      hand_over<T, kQueries>(p, places.score_gradients());
      sync_consumers(kGradientsThere);
      start_dk();
      wait_for_products<0>();
      release(places.empty(pipe.stage()));
    }
  }

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int n = 0; n < kOwn.dv / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) dv[0][n][c] = 0.0f;
#pragma unroll
    for (int n = 0; n < kOwn.dk / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) dk[0][n][c] = 0.0f;
  }

  /// Through the rows of K or V, which nobody but this warpgroup has read. dV and dK lie side by
  /// side: where their rows differ in length a warp's would meet another one's.
  __device__ __forceinline__ void store() const {
    const float scale[2] = {a.scale, a.scale}, one[2] = {1.0f, 1.0f};
    const std::uint32_t through = kMakesWeights ? places.resident_s(0) : places.resident_dp(0);
    const int row = fragments::warp_row<1>() % kGroupRows;
    const fragments::HeadRows to_dv = fragments::key_rows(a, a.dv, block.b, block.h_kv);
    const fragments::HeadRows to_dk = fragments::key_rows(a, a.dk, block.b, block.h_kv);
    fragments::store_rows<T, kOwn.dv>(dv[0], one, through, row, columns_from(to_dv, kOwn.first_dv),
                                      block.first_row);
    fragments::store_rows<T, kOwn.dk>(dk[0], scale, through + tile_bytes(kOwn.dv, kGroupRows), row,
                                      columns_from(to_dk, kOwn.first_dk), block.first_row);
  }

  __device__ __forceinline__ void run() {
    if (tile.done())
      clear();
    else if (kMakesWeights)
      add_tiles_by_weights();
    else
      add_tiles_by_gradients();
    sync_warpgroup(kGroup);
    store();
  }
};

template <typename T, int kD>
__device__ __forceinline__ void wide_dkdv(const BoxedAttention& x) {
  using Tiles = QueryTiles<dkdv_tile(kD).columns>;
  extern __shared__ __align__(1024) unsigned char dynamic[];
  const GradientShared<kD, dkdv_tile(kD)> shared{aligned_shared(dynamic)};
  for_block_of_keys<kD>(x, shared, [&](const KeyBlock& block, const Tiles& tile, int seen_by_all) {
    if (warpgroup() == 0)
      WideKeyConsumer<T, kD, 0>{x.a, shared, block, seen_by_all, tile}.run();
    else
      WideKeyConsumer<T, kD, 1>{x.a, shared, block, seen_by_all, tile}.run();
  });
}

}  // namespace flashbench::cuda::wgmma_sm90a

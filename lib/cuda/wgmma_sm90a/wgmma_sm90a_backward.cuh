#pragma once

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/fragments/tile.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_backward_tile.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_softmax.cuh"

/// Gradients on compute capability 9.0: mma_sm80's division into dQ by blocks of queries, and dK
/// and dV by blocks of keys, with their products as wgmma. Nothing is added from two blocks.
namespace flashbench::cuda::wgmma_sm90a {

using fragments::KeyBlock;
using fragments::QueryTiles;

/// The producer of dQ, one thread: Q and dO once, then tiles of K and V.
template <TileShape kTile, typename Shared>
__device__ __forceinline__ void stream_keys(const BoxedAttention& x, const Shared& shared,
                                            const QueryBlock& block, int first_tile, int end_tile) {
  shared.load_resident(x.q, x.d_o, block.first_row, block.h, block.b);
  PipelineState<kTile.stages> pipe;
#pragma unroll 1
  for (int j = first_tile; j < end_tile; ++j, ++pipe.count) {
    wait(shared.empty(pipe.stage()), pipe.parity() ^ 1);
    shared.load_stage(pipe.stage(), x.k, x.v, j * kTile.columns, block.h / x.a.group, block.b);
  }
}

/// dQ = scale·dS·K for one block of queries: Q and dO stay, K and V are streamed.
template <typename T, int kD>
__device__ __forceinline__ void dq(const BoxedAttention& x) {
  constexpr TileShape kTile = dq_tile(kD);
  constexpr int kKeys = kTile.columns;
  extern __shared__ __align__(1024) unsigned char dynamic[];
  const GradientShared<kD, kTile> shared{aligned_shared(dynamic)};
  const Attention& a = x.a;
  const QueryBlock block(a, kTile.rows());
  const VisitedTiles visited(a, block, kTile);
  const int first_tile = uniform(visited.first), end_tile = first_tile + uniform(visited.count);
  if (!begin_cta<kTile>(shared)) {
    if (threadIdx.x == kTile.consumers * kGroupThreads)
      stream_keys<kTile>(x, shared, block, first_tile, end_tile);
    return;
  }
  PipelineState<kTile.stages> pipe;
  const int group = warpgroup();
  const int seen_by_all =
      fragments::end_of_keys_seen_by_all(a, block.b, block.first_row + fragments::warp_row<1>());
  fragments::RowStatistics<1> values;
  values.load(a, block.b, block.h, block.first_row);
  Fragments<1, kKeys> p, ds;
  Rounded<kKeys> rounded;
  const auto start_tile = [&] {  // S and dP
    // At d = 128 the number is computed anew: from a kept one ptxas keeps the descriptors of all
    // resident operands too, more than there are uniform registers, and moves them back and forth.
    const int own = kD <= 64 ? group : warpgroup();
    start_by_transposed<T, kD, kKeys>(p, shared.resident_s(own), shared.streamed_s(pipe.stage()));
    start_by_transposed<T, kD, kKeys>(ds, shared.resident_dp(own),
                                      shared.streamed_dp(pipe.stage()));
  };
  const auto make_weights = [&](int j) {
    fragments::exponentiate<1, kKeys>(p, values);
    if (fragments::hides_keys<kKeys>(a, j, seen_by_all))
      fragments::hide_keys<1, kKeys>(p, a, block.b, block.first_row, j * kKeys, 0.0f);
    wait_for_products<0>();
    fragments::softmax_gradient<1, kKeys>(ds, p, values);
    round<T, kKeys>(rounded, ds);
  };
  wait(shared.resident_full(), 0);
  wait(shared.full(0), 0);
  start_tile();
  wait_for_products<1>();
  make_weights(first_tile);
  Fragments<1, kD> sum = {};
#pragma unroll 1
  for (int j = first_tile + 1; j < end_tile; ++j) {
    ++pipe.count;
    wait(shared.full(pipe.stage()), pipe.parity());
    start_from_registers<T, kD, kKeys>(sum, rounded, shared.streamed_s(pipe.previous().stage()));
    start_tile();
    wait_for_products<1>();  // dS·K of the tile before, and S
    release(shared.empty(pipe.previous().stage()));
    make_weights(j);
  }
  start_from_registers<T, kD, kKeys>(sum, rounded, shared.streamed_s(pipe.stage()));
  wait_for_products<0>();
  sync_warpgroup(group);  // nobody reads Q any more: it makes room for dQ
  const float scale[2] = {a.scale, a.scale};
  fragments::store_rows<T, kD>(sum[0], scale, shared.base, fragments::warp_row<1>(),
                               fragments::query_rows(a, a.dq, block.b, block.h), block.first_row);
}

/// The producer of dK and dV, a warp: tiles of Q and dO by TMA; their maxima, sums and D, which
/// start anywhere, by its lanes. These are read while the stage is still in use.
template <TileShape kTile, typename Shared>
__device__ __forceinline__ void stream_queries(const BoxedAttention& x, const Shared& shared,
                                               const KeyBlock& block,
                                               QueryTiles<kTile.columns> tile) {
  constexpr int kValues = (kTile.columns + 31) / 32;  ///< of a lane
  const int lane = fragments::lane();
  if (lane == 0) shared.load_resident(x.k, x.v, block.first_row, block.h_kv, block.b);
  for (PipelineState<kTile.stages> pipe; !tile.done(); tile = tile.next(), ++pipe.count) {
    const std::int64_t values = fragments::row_offset(x.a, block.b, tile.h);
    float max[kValues], log2_sum[kValues], delta[kValues], shift[kValues];
    bool apart = false;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const int q = tile.query + lane + 32 * i;
      const bool valid = q < x.a.q_len;
      max[i] = valid ? x.a.row_max[values + q] : 0.0f;
      log2_sum[i] = valid ? x.a.row_log2_sum[values + q] : fragments::kInf;
      delta[i] = valid ? x.a.delta[values + q] : 0.0f;
      shift[i] = -fmaf(max[i], x.a.scale_log2, log2_sum[i]);
      apart |= !(fabsf(max[i] * x.a.scale_log2) <= fragments::kLargestJointShift);
    }
    apart = __any_sync(0xffffffffu, apart);
    wait(shared.empty(pipe.stage()), pipe.parity() ^ 1);
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      if (kTile.columns % 32 != 0 && lane + 32 * i >= kTile.columns) break;
      store_shared(shared.shift(pipe.stage()) + 4 * (lane + 32 * i), shift[i]);
      store_shared(shared.max(pipe.stage()) + 4 * (lane + 32 * i), max[i]);
      store_shared(shared.log2_sum(pipe.stage()) + 4 * (lane + 32 * i), log2_sum[i]);
      store_shared(shared.delta(pipe.stage()) + 4 * (lane + 32 * i), delta[i]);
    }
    if (lane == 0) store_shared(shared.apart(pipe.stage()), apart ? 1.0f : 0.0f);
    __syncwarp();
    if (lane == 0) shared.load_stage(pipe.stage(), x.q, x.d_o, tile.query, tile.h, block.b);
  }
}

/// Sᵀ of a consumer's tile becomes Pᵀ: zero where a query does not see a key, or is none.
template <int kQueries, typename KeyConsumer>
__device__ __forceinline__ void make_weights_transposed(Fragments<1, kQueries>& s,
                                                        const KeyConsumer& of) {
  const int stage = of.pipe.stage();
  if (load_shared(of.shared().apart(stage)) == 0)
    recompute_p_transposed<kQueries>(s, of.shared().shift(stage), of.a.scale_log2);
  else
    fragments::recompute_large_p_transposed<1, kQueries>(
        s, of.shared().max(stage), of.shared().log2_sum(stage), of.a.scale_log2);
  fragments::hide_pairs_of_tile<1, kQueries>(s, of.a, of.block.b, of.block.first_row, of.tile.query,
                                             of.seen_by_all);
}

/// A warpgroup's 64 keys of dK and dV. Sᵀ and dPᵀ are computed, so that P and dS are A operands
/// where they lie.
template <typename T, int kD>
struct KeyConsumer {
  static constexpr TileShape kTile = dkdv_tile(kD);
  static constexpr int kQueries = kTile.columns;

  const Attention& a;
  const std::uint32_t base;
  const KeyBlock block;
  const int
      seen_by_all;  ///< from this query on every key of the warp is seen: no tile needs a mask
  QueryTiles<kQueries> tile;
  PipelineState<kTile.stages> pipe;
  Fragments<1, kQueries> p, ds;
  Rounded<kQueries> rounded_p, rounded_ds;
  Fragments<1, kD> dk, dv;

  /// At d = 64 addresses are made anew in every tile, in ordinary registers: on an H200 dK and dV
  /// are then 5 % faster than with uniform ones (b4 h32 4096x4096: 2.05 against 2.15 ms), although
  /// they cost 16 R2UR and 47 instructions a tile more.
  static constexpr bool kUniform = kD > 64;
  __device__ __forceinline__ GradientShared<kD, kTile> shared() const {
    return {kUniform ? base : fragments::rematerialized(base)};
  }
  static __device__ __forceinline__ int group() {
    return kUniform ? warpgroup() : fragments::warp() / 4;
  }

  /// Issues Sᵀ of the tile.
  __device__ __forceinline__ void start_scores() {
    wait(shared().full(pipe.stage()), pipe.parity());
    start_by_transposed<T, kD, kQueries>(p, shared().resident_s(group()),
                                         shared().streamed_s(pipe.stage()));
  }

  /// dK and dV of the tile whose Sᵀ is in flight; its dSᵀQ is in flight afterwards.
  __device__ __forceinline__ void add_tile() {
    start_by_transposed<T, kD, kQueries>(ds, shared().resident_dp(group()),
                                         shared().streamed_dp(pipe.stage()));
    wait_for_products<1>();
    make_weights_transposed<kQueries>(p, *this);
    round<T, kQueries>(rounded_p, p);
    start_from_registers<T, kD, kQueries>(dv, rounded_p, shared().streamed_dp(pipe.stage()));
    wait_for_products<1>();
    fragments::softmax_gradient_transposed<1, kQueries>(ds, p, shared().delta(pipe.stage()));
    round<T, kQueries>(rounded_ds, ds);
    start_from_registers<T, kD, kQueries>(dk, rounded_ds, shared().streamed_s(pipe.stage()));
  }

  /// All tiles of queries, of which there is one at least. Sᵀ of a tile is issued before the
  /// gradients of the tile before are done. The first tile is peeled off the loop: ptxas must see
  /// that nothing touches the sums while products with them are in flight.
  __device__ __forceinline__ void add_tiles() {
    start_scores();
    wait_for_products<0>();
    clear();
    add_tile();
#pragma unroll 1
    for (tile = tile.next(); !tile.done(); tile = tile.next()) {
      ++pipe.count;
      start_scores();
      wait_for_products<1>();
      release(shared().empty(pipe.previous().stage()));
      add_tile();
    }
    wait_for_products<0>();
  }

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int n = 0; n < kD / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) dk[0][n][c] = dv[0][n][c] = 0.0f;
  }

  /// Through the rows of K, which nobody in the warpgroup reads any more.
  __device__ __forceinline__ void store() const {
    const float scale[2] = {a.scale, a.scale}, one[2] = {1.0f, 1.0f};
    const int row = fragments::warp_row<1>();
    fragments::store_rows<T, kD>(
        dv[0], one, base, row, fragments::key_rows(a, a.dv, block.b, block.h_kv), block.first_row);
    fragments::store_rows<T, kD>(dk[0], scale, base, row,
                                 fragments::key_rows(a, a.dk, block.b, block.h_kv),
                                 block.first_row);
  }
};

/// dV = PᵀdO and dK = scale·dSᵀQ for one block of keys: K and V stay, Q and dO are streamed.
/// consume(block, tile, seen_by_all) is what a consumer does: see KeyConsumer.
template <int kD, typename Consume>
__device__ __forceinline__ void for_block_of_keys(const BoxedAttention& x,
                                                  const GradientShared<kD, dkdv_tile(kD)>& shared,
                                                  const Consume& consume) {
  constexpr TileShape kTile = dkdv_tile(kD);
  const Attention& a = x.a;
  const KeyBlock block(a, kTile.rows());
  const int kept = kept_count(a, block.b);
  if (block.first_row >= kept) return;
  const QueryTiles<kTile.columns> tile(a, block, kTile.rows());
  if (!begin_cta<kTile>(shared)) {
    if (fragments::warp() == kTile.consumers * 4) stream_queries<kTile>(x, shared, block, tile);
    return;
  }
  const int row = fragments::warp_row<1>();
  const int seen_by_all = fragments::query_that_all_keys_see(
      a, block, kept, kTile.splits_gradients ? row % kGroupRows : row);
  wait(shared.resident_full(), 0);
  consume(block, tile, seen_by_all);
}

template <typename T, int kD>
__device__ __forceinline__ void dkdv(const BoxedAttention& x) {
  using Tiles = QueryTiles<dkdv_tile(kD).columns>;
  extern __shared__ __align__(1024) unsigned char dynamic[];
  const GradientShared<kD, dkdv_tile(kD)> shared{aligned_shared(dynamic)};
  for_block_of_keys<kD>(x, shared, [&](const KeyBlock& block, const Tiles& tile, int seen_by_all) {
    KeyConsumer<T, kD> consumer{x.a, shared.base, block, seen_by_all, tile};
    if (tile.done())
      consumer.clear();
    else
      consumer.add_tiles();
    sync_warpgroup(consumer.group());
    consumer.store();
  });
}

}  // namespace flashbench::cuda::wgmma_sm90a

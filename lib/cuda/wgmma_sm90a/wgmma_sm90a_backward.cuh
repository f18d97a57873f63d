#pragma once

#include "cuda/mma_sm80/mma_sm80_dkdv.cuh"
#include "cuda/mma_sm80/mma_sm80_dq.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_tile.cuh"

/// Gradients on compute capability 9.0: mma_sm80's division into dQ by blocks of queries, and dK
/// and dV by blocks of keys, with their products as wgmma. Nothing is added from two blocks.
namespace flashbench::cuda::wgmma_sm90a {

using mma_sm80::KeyBlock;
using mma_sm80::QueryTiles;

/// Addresses in the shared memory of a CTA that keeps two operands of its own rows (`first` and
/// `second`, 64 rows of each for every consumer) and streams two others.
template <int kD, TileShape kTile>
struct GradientShared {
  static constexpr GradientPlan kPlan = gradient_plan(kD, kTile);
  std::uint32_t base;

  __device__ __forceinline__ std::uint32_t own_first(int group) const {
    return base + group * tile_bytes(kD, kGroupRows);
  }
  __device__ __forceinline__ std::uint32_t own_second(int group) const {
    return own_first(group) + kPlan.own;
  }
  __device__ __forceinline__ std::uint32_t first(int stage) const {
    return base + 2 * kPlan.own + 2 * stage * kPlan.stage;
  }
  __device__ __forceinline__ std::uint32_t second(int stage) const {
    return first(stage) + kPlan.stage;
  }
  __device__ __forceinline__ std::uint32_t lse(int stage) const {
    return base + kPlan.values + 8 * stage * kTile.columns;
  }
  __device__ __forceinline__ std::uint32_t delta(int stage) const {
    return lse(stage) + 4 * kTile.columns;
  }
  __device__ __forceinline__ std::uint32_t own_full() const { return base + kPlan.barriers; }
  __device__ __forceinline__ std::uint32_t full(int stage) const {
    return own_full() + 8 + 8 * stage;
  }
  __device__ __forceinline__ std::uint32_t empty(int stage) const {
    return full(kTile.stages) + 8 * stage;
  }

  /// By one thread, before anyone uses them.
  __device__ void begin_barriers() const {
    begin_barrier(own_full(), 1);
    for (int s = 0; s < kTile.stages; ++s) {
      begin_barrier(full(s), 1);
      begin_barrier(empty(s), kTile.consumers * kGroupThreads / 32);
    }
    publish_barriers();
  }

  /// Both operands of the CTA's own rows, by one thread.
  __device__ void load_own(const TensorMap& first, const TensorMap& second, int row, int head,
                           int batch) const {
    arrive_expecting(own_full(), 2 * kPlan.own);
#pragma unroll 1
    for (int g = 0; g < kTile.consumers; ++g) {
      load_boxes<kD, kGroupRows>(own_first(g), first, row + g * kGroupRows, head, batch,
                                 own_full());
      load_boxes<kD, kGroupRows>(own_second(g), second, row + g * kGroupRows, head, batch,
                                 own_full());
    }
  }

  /// A tile of both streamed operands, by one thread.
  __device__ void load_stage(int stage, const TensorMap& first_map, const TensorMap& second_map,
                             int row, int head, int batch) const {
    arrive_expecting(full(stage), 2 * kPlan.stage);
    load_boxes<kD, kTile.columns>(first(stage), first_map, row, head, batch, full(stage));
    load_boxes<kD, kTile.columns>(second(stage), second_map, row, head, batch, full(stage));
  }
};

/// Starts the CTA: its barriers, and who has which registers. True for consumers.
template <TileShape kTile, typename Shared>
__device__ __forceinline__ bool begin_cta(const Shared& shared) {
  if (threadIdx.x == 0) shared.begin_barriers();
  __syncthreads();
  const bool consumes = mma_sm80::warp() < kTile.consumers * 4;
  if (consumes)
    raise_registers<kTile.consumer_registers>();
  else
    lower_registers<kTile.producer_registers>();
  return consumes;
}

/// The sums are written before what follows: nvcc may else put copies of them behind a fence.
template <int kColumns>
__device__ __forceinline__ void settle(Fragments<1, kColumns>& sums) {
#pragma unroll
  for (auto& columns : sums[0])
#pragma unroll
    for (float& sum : columns) asm volatile("" : "+f"(sum)::"memory");
}

/// sum = A·Bᵀ is under way afterwards: 64 own rows times a streamed tile.
template <typename T, int kD, int kColumns>
__device__ __forceinline__ void start_by_transposed(Fragments<1, kColumns>& sum, std::uint32_t own,
                                                    std::uint32_t streamed) {
  const std::uint64_t a = operand(own, 0), b = operand(streamed, 0);
  settle<kColumns>(sum);
  begin_products();
#pragma unroll
  for (int i = 0; i < kD; i += 16)
    multiply_by_transposed<T, kColumns>(sum[0], advanced(a, inner_step(kGroupRows, i)),
                                        advanced(b, inner_step(kColumns, i)), i != 0);
  commit_products();
}

/// sum += A·B is under way afterwards: A from registers, B a streamed tile.
template <typename T, int kD, int kColumns>
__device__ __forceinline__ void start_from_registers(Fragments<1, kD>& sum,
                                                     const Rounded<kColumns>& a,
                                                     std::uint32_t streamed) {
  const std::uint64_t b = operand(streamed, tile_bytes(kBoxColumns, kColumns));
  settle<kD>(sum);
  begin_products();
#pragma unroll
  for (int i = 0; i < kColumns / 16; ++i)
    multiply_from_registers<T, kD>(sum[0], a[i], advanced(b, tile_bytes(kBoxColumns, 16 * i)));
  commit_products();
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
  const int tiles = key_tiles(a, block, kTile);
  Turn<kTile.stages> stage;
  if (!begin_cta<kTile>(shared)) {
    if (threadIdx.x != kTile.consumers * kGroupThreads) return;
    shared.load_own(x.q, x.d_o, block.first, block.h, block.b);
#pragma unroll 1
    for (int j = 0; j < tiles; ++j, ++stage.count) {
      wait(shared.empty(stage.at()), stage.parity() ^ 1);
      shared.load_stage(stage.at(), x.k, x.v, j * kKeys, block.h / a.group, block.b);
    }
    return;
  }
  const int group = mma_sm80::warp() / 4;
  const int seen_by_all =
      keys(a, block.b, min(block.first + mma_sm80::warp_row<1>(), a.q_len - 1)).end;
  mma_sm80::QueryValues<1> values;
  values.load(a, block.b, block.h, block.first);
  Fragments<1, kKeys> p, ds;
  Rounded<kKeys> rounded;
  const auto start_tile = [&] {  // S and dP
    start_by_transposed<T, kD, kKeys>(p, shared.own_first(group), shared.first(stage.at()));
    start_by_transposed<T, kD, kKeys>(ds, shared.own_second(group), shared.second(stage.at()));
  };
  const auto make_weights = [&](int j) {
    mma_sm80::recompute_p<1, kKeys>(p, values, a.scale_log2);
    if ((j + 1) * kKeys > seen_by_all)
      mma_sm80::hide_keys<1, kKeys>(p, a, block.b, block.first, j * kKeys, 0.0f);
    wait_for_products<0>();
    mma_sm80::softmax_gradient<1, kKeys>(ds, p, values);
    round<T, kKeys>(rounded, ds);
  };
  wait(shared.own_full(), 0);
  wait(shared.full(0), 0);
  start_tile();
  wait_for_products<1>();
  make_weights(0);
  Fragments<1, kD> sum = {};
#pragma unroll 1
  for (int j = 1; j < tiles; ++j) {
    ++stage.count;
    wait(shared.full(stage.at()), stage.parity());
    start_from_registers<T, kD, kKeys>(sum, rounded, shared.first(stage.before().at()));
    start_tile();
    wait_for_products<1>();  // dS·K of the tile before, and S
    release(shared.empty(stage.before().at()));
    make_weights(j);
  }
  start_from_registers<T, kD, kKeys>(sum, rounded, shared.first(stage.at()));
  wait_for_products<0>();
  meet(group);  // nobody reads Q any more: it makes room for dQ
  const float scale[2] = {a.scale, a.scale};
  mma_sm80::store_rows<T, kD>(sum[0], scale, shared.base, mma_sm80::warp_row<1>(),
                              mma_sm80::query_rows(a, a.dq, block.b, block.h), block.first);
}

/// The producer of dK and dV, a warp: tiles of Q and dO by the copy engine; their LSE and D, which
/// start anywhere, by its lanes.
template <int kD, TileShape kTile>
__device__ __forceinline__ void stream_queries(const BoxedAttention& x,
                                               const GradientShared<kD, kTile>& shared,
                                               const KeyBlock& block,
                                               QueryTiles<kTile.columns> tile) {
  const int lane = mma_sm80::lane();
  if (lane == 0) shared.load_own(x.k, x.v, block.first, block.h_kv, block.b);
  for (Turn<kTile.stages> stage; !tile.done(); tile = tile.next(x.a), ++stage.count) {
    wait(shared.empty(stage.at()), stage.parity() ^ 1);
    const std::int64_t values = mma_sm80::row_values(x.a, block.b, tile.h);
#pragma unroll
    for (int i = lane; i < kTile.columns; i += 32) {
      const int q = tile.query + i;
      const bool valid = q < x.a.q_len;
      store_shared(shared.lse(stage.at()) + 4 * i, valid ? x.a.lse[values + q] : 0.0f);
      store_shared(shared.delta(stage.at()) + 4 * i, valid ? x.a.delta[values + q] : 0.0f);
    }
    __syncwarp();
    if (lane == 0) shared.load_stage(stage.at(), x.q, x.d_o, tile.query, tile.h, block.b);
  }
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
  Turn<kTile.stages> stage;
  Fragments<1, kQueries> p, ds;
  Rounded<kQueries> rounded_p, rounded_ds;
  Fragments<1, kD> dk, dv;

  /// Addresses are made anew for every tile: kept, they spill at d = 128.
  __device__ __forceinline__ GradientShared<kD, kTile> shared() const {
    return {mma_sm80::recomputed(base)};
  }
  static __device__ __forceinline__ int group() { return mma_sm80::warp() / 4; }

  /// Sᵀ of the tile is under way afterwards.
  __device__ __forceinline__ void start_scores() {
    wait(shared().full(stage.at()), stage.parity());
    start_by_transposed<T, kD, kQueries>(p, shared().own_first(group()),
                                         shared().first(stage.at()));
  }

  /// dK and dV of the tile whose scores are under way; dSᵀQ is, afterwards.
  __device__ __forceinline__ void add_tile() {
    start_by_transposed<T, kD, kQueries>(ds, shared().own_second(group()),
                                         shared().second(stage.at()));
    wait_for_products<1>();
    mma_sm80::recompute_p_transposed<1, kQueries>(p, shared().lse(stage.at()), a.scale_log2);
    if (tile.query < seen_by_all || tile.query + kQueries > a.q_len)
      mma_sm80::hide_pairs<1, kQueries>(p, a, block.b, block.first, tile.query);
    round<T, kQueries>(rounded_p, p);
    start_from_registers<T, kD, kQueries>(dv, rounded_p, shared().second(stage.at()));
    wait_for_products<1>();
    mma_sm80::softmax_gradient_transposed<1, kQueries>(ds, p, shared().delta(stage.at()));
    round<T, kQueries>(rounded_ds, ds);
    start_from_registers<T, kD, kQueries>(dk, rounded_ds, shared().first(stage.at()));
  }

  /// All tiles of queries, of which there is one at least. The scores of a tile are asked for
  /// before the gradients of the one before are there. The first stands alone: ptxas must see that
  /// nothing touches the sums while products with them are under way.
  __device__ __forceinline__ void add_tiles() {
    start_scores();
    wait_for_products<0>();
    clear();
    add_tile();
#pragma unroll 1
    for (tile = tile.next(a); !tile.done(); tile = tile.next(a)) {
      ++stage.count;
      start_scores();
      wait_for_products<1>();
      release(shared().empty(stage.before().at()));
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
    const int row = mma_sm80::warp_row<1>();
    mma_sm80::store_rows<T, kD>(dv[0], one, base, row,
                                mma_sm80::key_rows(a, a.dv, block.b, block.h_kv), block.first);
    mma_sm80::store_rows<T, kD>(dk[0], scale, base, row,
                                mma_sm80::key_rows(a, a.dk, block.b, block.h_kv), block.first);
  }
};

/// dV = PᵀdO and dK = scale·dSᵀQ for one block of keys: K and V stay, Q and dO are streamed.
template <typename T, int kD>
__device__ __forceinline__ void dkdv(const BoxedAttention& x) {
  constexpr TileShape kTile = dkdv_tile(kD);
  extern __shared__ __align__(1024) unsigned char dynamic[];
  const GradientShared<kD, kTile> shared{aligned_shared(dynamic)};
  const Attention& a = x.a;
  const KeyBlock block(a, kTile.rows());
  const int keys = kept_count(a, block.b);
  if (block.first >= keys) return;
  const QueryTiles<kTile.columns> tile(a, block);
  if (!begin_cta<kTile>(shared)) {
    if (mma_sm80::warp() == kTile.consumers * 4) stream_queries<kD, kTile>(x, shared, block, tile);
    return;
  }
  const int last_key = block.first + mma_sm80::warp_row<1>() + 15;
  // Ragged keys always need a mask.
  const int seen_by_all = last_key < keys ? queries(a, block.b, last_key).begin : a.q_len;
  KeyConsumer<T, kD> consumer{a, shared.base, block, seen_by_all, tile};
  wait(shared.own_full(), 0);
  if (tile.done())
    consumer.clear();
  else
    consumer.add_tiles();
  meet(consumer.group());
  consumer.store();
}

}  // namespace flashbench::cuda::wgmma_sm90a

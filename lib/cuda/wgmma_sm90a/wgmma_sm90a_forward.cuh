#pragma once

#include "cuda/mma_sm80/mma_sm80_forward.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_tile.cuh"

/// FlashAttention on compute capability 9.0: FlashAttention-2's Algorithm 1 for 64 queries a
/// warpgroup, with FlashAttention-3's division of labour. A CTA stays for many blocks of queries.
namespace flashbench::cuda::wgmma_sm90a {

using mma_sm80::exp2_fast;
using mma_sm80::kInf;
using mma_sm80::RunningSoftmax;

/// Addresses in this CTA's shared memory.
template <int kD>
struct Shared {
  static constexpr TileShape kTile = forward_tile(kD);
  static constexpr SharedPlan kPlan = shared_plan(kD, kTile);
  static constexpr std::uint32_t kStage = tile_bytes(kD, kTile.columns);
  std::uint32_t base;

  __device__ __forceinline__ std::uint32_t q(int group) const {
    return base + group * tile_bytes(kD, kGroupRows);
  }
  __device__ __forceinline__ std::uint32_t k(int stage) const {
    return base + kPlan.k + stage * kStage;
  }
  __device__ __forceinline__ std::uint32_t v(int stage) const {
    return base + kPlan.v + stage * kStage;
  }
  __device__ __forceinline__ std::uint32_t post(int i) const { return base + kPlan.posts + 4 * i; }

  // Barriers, in the order of their numbers.
  __device__ __forceinline__ std::uint32_t q_full(int group) const { return barrier(group); }
  __device__ __forceinline__ std::uint32_t q_empty(int group) const {
    return barrier(kTile.consumers + group);
  }
  __device__ __forceinline__ std::uint32_t k_full(int stage) const { return of_stage(0, stage); }
  __device__ __forceinline__ std::uint32_t k_empty(int stage) const { return of_stage(1, stage); }
  __device__ __forceinline__ std::uint32_t v_full(int stage) const { return of_stage(2, stage); }
  __device__ __forceinline__ std::uint32_t v_empty(int stage) const { return of_stage(3, stage); }
  __device__ __forceinline__ std::uint32_t post_full(int i) const { return of_stage(4, 0) + 8 * i; }

  /// By one thread, before anyone uses them.
  __device__ void begin_barriers() const {
    constexpr int kConsumerWarps = kTile.consumers * kGroupThreads / 32;
    for (int g = 0; g < kTile.consumers; ++g) {
      begin_barrier(q_full(g), 1);
      begin_barrier(q_empty(g), kGroupThreads / 32);
    }
    for (int s = 0; s < kTile.stages; ++s) {
      begin_barrier(k_full(s), 1);
      begin_barrier(v_full(s), 1);
      begin_barrier(k_empty(s), kConsumerWarps);
      begin_barrier(v_empty(s), kConsumerWarps);
    }
    for (int i = 0; i < kPosts; ++i) begin_barrier(post_full(i), 1);
    publish_barriers();
  }

 private:
  __device__ __forceinline__ std::uint32_t barrier(int number) const {
    return base + kPlan.barriers + 8 * number;
  }
  __device__ __forceinline__ std::uint32_t of_stage(int kind, int stage) const {
    return barrier(2 * kTile.consumers + kind * kTile.stages + stage);
  }
};

template <int kD>
__device__ __forceinline__ Schedule schedule_of(const BoxedAttention& x) {
  constexpr int kRows = forward_tile(kD).rows();
  return {x.a.b * x.a.h, (x.a.q_len + kRows - 1) / kRows, x.heads_at_once};
}

/// The block at a place of the schedule. Not kept in registers: few need it, and rarely.
template <int kD>
__device__ __forceinline__ QueryBlock block_at(const BoxedAttention& x, int place) {
  const Schedule::Place where = schedule_of<kD>(x).at(mma_sm80::recomputed(place));
  return {where.head / x.a.h, where.head % x.a.h, where.block * forward_tile(kD).rows()};
}

/// A tile of rows first .. first + kRows of a head, by one thread.
template <int kD, int kRows>
__device__ __forceinline__ void load_tile(std::uint32_t to, const TensorMap& from, int first,
                                          int head, int batch, std::uint32_t barrier) {
  arrive_expecting(barrier, tile_bytes(kD, kRows));
  load_boxes<kD, kRows>(to, from, first, head, batch, barrier);
}

/// Q of every consumer's part of the block.
template <int kD>
__device__ __forceinline__ void load_queries(const BoxedAttention& x, const Shared<kD>& shared,
                                             const QueryBlock& block, std::uint32_t empty_parity) {
#pragma unroll 1
  for (int g = 0; g < forward_tile(kD).consumers; ++g) {
    wait(shared.q_empty(g), empty_parity);
    load_tile<kD, kGroupRows>(shared.q(g), x.q, block.first + g * kGroupRows, block.h, block.b,
                              shared.q_full(g));
  }
}

/// The producer: one thread that takes blocks, announces them, and keeps Q and the stages of K and
/// V full. The next block's Q is asked for after its first K: there is room when this block's last
/// scores are made. Who takes the last of all shares puts the counter back for the next launch.
template <int kD>
__device__ __forceinline__ void produce(const BoxedAttention& x, const Shared<kD>& shared) {
  constexpr TileShape kTile = forward_tile(kD);
  const int places = schedule_of<kD>(x).count();
  Turn<kTile.stages> stage;
  Turn<kPosts> post;
  Turn<1> queries;
  int place = static_cast<int>(blockIdx.x);
  for (bool more = true; more; ++post.count) {
    more = place < places;
    mma_sm80::store_shared(shared.post(post.at()), static_cast<std::uint32_t>(more ? place : -1));
    arrive(shared.post_full(post.at()));
    if (!more) break;
    const QueryBlock block = block_at<kD>(x, place);
    const int h_kv = block.h / x.a.group, tiles = key_tiles(x.a, block, kTile);
#pragma unroll 1
    for (int j = 0; j < tiles; ++j, ++stage.count) {
      wait(shared.k_empty(stage.at()), stage.parity() ^ 1);
      load_tile<kD, kTile.columns>(shared.k(stage.at()), x.k, j * kTile.columns, h_kv, block.b,
                                   shared.k_full(stage.at()));
      if (j == 0) {
        load_queries<kD>(x, shared, block, queries.parity() ^ 1);
        ++queries.count;
      }
      wait(shared.v_empty(stage.at()), stage.parity() ^ 1);
      load_tile<kD, kTile.columns>(shared.v(stage.at()), x.v, j * kTile.columns, h_kv, block.b,
                                   shared.v_full(stage.at()));
    }
    const int taken = atomicAdd(x.taken, 1);
    if (taken == places - 1) atomicExch(x.taken, 0);
    place = static_cast<int>(gridDim.x) + taken;
  }
}

/// The largest exponent that P may reach before a row's maximum follows the scores: O and the sum
/// are rescaled in few tiles, and P, up to 2^8, is as exact as below 1.
constexpr float kSlack = 8.0f;

/// Scores become P = exp2(scale_log2·s - shift). `rescale`: the factors for what was summed before,
/// 1 where the shift stays.
template <int kKeys>
__device__ __forceinline__ void absorb(Fragments<1, kKeys>& s, RunningSoftmax<1>& state,
                                       float (&rescale)[2], float scale_log2) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float& shift_at = state.max[0][half];
    float max = shift_at;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
      max = fmaxf(max, fmaxf(s[0][n][2 * half], s[0][n][2 * half + 1]));
    max = mma_sm80::max_of_four_lanes(max);
    // False for a row that has seen nothing: (-inf) - (-inf) is NaN.
    const bool rises = (max - shift_at) * scale_log2 > kSlack;
    rescale[half] = rises ? exp2_fast((shift_at - max) * scale_log2) : 1.0f;
    if (rises) shift_at = max;
    const float shift = shift_at == -kInf ? 0.0f : shift_at * scale_log2;
    float sum[2] = {state.sum[0][half] * rescale[half], 0.0f};  // two chains of additions
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        float& x = s[0][n][2 * half + c];
        x = exp2_fast(fmaf(x, scale_log2, -shift));
        sum[c] += x;
      }
    state.sum[0][half] = sum[0] + sum[1];
  }
}

/// One warpgroup of consumers, on its 64 queries of one block after another.
template <typename T, int kD>
struct Consumer {
  static constexpr TileShape kTile = forward_tile(kD);
  static constexpr int kKeys = kTile.columns;
  using Scores = Fragments<1, kKeys>;
  using Weights = Rounded<kKeys>;

  const BoxedAttention& x;
  const Shared<kD> shared;
  const float scale_log2;    ///< positive
  Turn<kTile.stages> stage;  ///< of the next scores
  Turn<kPosts> post;
  Turn<1> queries;
  Fragments<1, kD> o;
  RunningSoftmax<1> state;
  int seen_by_all;  ///< keys before this one are seen by all rows of the warp: no tile of them
                    ///< needs a mask

  static __device__ __forceinline__ int group() { return mma_sm80::warp() / 4; }

  /// Where consumers take turns, one's products meet the softmax of the others.
  static __device__ __forceinline__ void take_turn() {
    if (kTile.turns) wait_for_turn(group());
  }
  static __device__ __forceinline__ void give_turn() {
    if (kTile.turns) next_turn((group() + 1) % kTile.consumers);
  }

  static __device__ __forceinline__ void wait_for_keys(const Shared<kD>& shared,
                                                       const Turn<kTile.stages>& of) {
    wait(shared.k_full(of.at()), of.parity());
  }
  __device__ __forceinline__ void wait_for_next_keys() const {
    wait_for_keys(shared, {stage.count + 1});
  }

  /// S = QKᵀ is under way afterwards.
  __device__ __forceinline__ void start_scores(Scores& s) const {
    const std::uint64_t q = operand(shared.q(group()), 0), k = operand(shared.k(stage.at()), 0);
    begin_products();
#pragma unroll
    for (int i = 0; i < kD; i += 16)
      multiply_by_transposed<T, kKeys>(s[0], advanced(q, inner_step(kGroupRows, i)),
                                       advanced(k, inner_step(kKeys, i)), i != 0);
    commit_products();
  }

  /// O += PV of the tile before the one whose scores come next is under way afterwards.
  __device__ __forceinline__ void start_output(const Weights& p) {
    const Turn<kTile.stages> of = stage.before();
    wait(shared.v_full(of.at()), of.parity());
    const std::uint64_t v = operand(shared.v(of.at()), tile_bytes(kBoxColumns, kKeys));
    begin_products();
#pragma unroll
    for (int i = 0; i < kKeys / 16; ++i)
      multiply_from_registers<T, kD>(o[0], p[i], advanced(v, tile_bytes(kBoxColumns, 16 * i)));
    commit_products();
  }

  /// Applies the sign of the scale and the masks to the scores of tile j.
  __device__ __forceinline__ void mask(Scores& s, int place, int j) const {
    if (x.a.scale <= 0.0f)
#pragma unroll
      for (auto& columns : s[0])
#pragma unroll
        for (float& score : columns) score *= x.a.scale < 0.0f ? -1.0f : 0.0f;
    if ((j + 1) * kKeys <= seen_by_all) return;
    const QueryBlock block = block_at<kD>(x, place);
    mma_sm80::hide_keys<1, kKeys>(s, x.a, block.b, block.first, j * kKeys, -kInf);
  }

  __device__ __forceinline__ void rescale_output(const float (&rescale)[2]) {
    if (!__any_sync(0xffffffffu, rescale[0] != 1.0f || rescale[1] != 1.0f)) return;
#pragma unroll
    for (int n = 0; n < kD / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) o[0][n][c] *= rescale[c / 2];
  }

  /// O / sum, rounded, and LSE. Four lanes write 16 bytes of a row at once.
  __device__ __forceinline__ void finish(int place) {
    const QueryBlock block = block_at<kD>(x, place);
    float inverse[2];
    mma_sm80::finish_rows(x.a, block, mma_sm80::warp_row<1>(), state, 0, scale_log2, inverse);
    const mma_sm80::HeadRows to = mma_sm80::query_rows(x.a, x.a.o, block.b, block.h);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int q = block.first + mma_sm80::warp_row<1>() + mma_sm80::fragment_row(half);
      if (q >= x.a.q_len) continue;
      mma_sm80::Bits* const row = to.row(q) + mma_sm80::fragment_column();
#pragma unroll
      for (int n = 0; n < kD / 8; ++n)
        if (8 * n < x.a.d)
          *reinterpret_cast<std::uint32_t*>(row + 8 * n) =
              inverse[half] == 0.0f  // hidden values may be NaN, and 0·NaN is NaN
                  ? 0u
                  : mma_sm80::pack<T>(o[0][n][2 * half] * inverse[half],
                                      o[0][n][2 * half + 1] * inverse[half]);
    }
  }

  /// The next place that the producer announces; negative: there is none.
  __device__ __forceinline__ int next_place() {
    wait(shared.post_full(post.at()), post.parity());
    const int place = static_cast<int>(load_shared(shared.post(post.at())));
    ++post.count;
    return place;
  }

  /// The first scores of a block are under way afterwards.
  __device__ __forceinline__ void start_block(Scores& s) {
    wait(shared.q_full(group()), queries.parity());
    ++queries.count;
    wait_for_keys(shared, stage);
    start_scores(s);
  }

  /// The sums of a block begin with the scores of its first tile, which become P.
  __device__ __forceinline__ void first_weights(Weights& p, Scores& s, int place, bool last) {
    float rescale[2];
    release(shared.k_empty(stage.at()));
    state.reset();
    mask(s, place, 0);
    absorb<kKeys>(s, state, rescale, scale_log2);
    round<T, kKeys>(p, s);
#pragma unroll
    for (auto& columns : o[0])
#pragma unroll
      for (float& sum : columns) sum = 0.0f;
    if (!last) wait_for_next_keys();
    ++stage.count;
  }

  /// The scores of tile j, asked for before P·V of the tile before, become P. Where the two
  /// overlap, the wait for the next keys stands in between: ptxas moves the wait for P·V to the
  /// front of its basic block, before the softmax, and the wait for the keys begins another block.
  __device__ __forceinline__ void next_weights(Weights& p, Scores& s, int place, int j, bool last) {
    float rescale[2];
    wait_for_products<kTile.overlaps ? 1 : 0>();
    release(shared.k_empty(stage.at()));
    if (!kTile.overlaps) release(shared.v_empty(stage.before().at()));
    mask(s, place, j);
    absorb<kKeys>(s, state, rescale, scale_log2);
    if (!last) wait_for_next_keys();
    if (kTile.overlaps) {
      wait_for_products<0>();
      release(shared.v_empty(stage.before().at()));
    }
    rescale_output(rescale);
    round<T, kKeys>(p, s);
    ++stage.count;
  }

  /// One block after another. While a tile's softmax is made, P·V of the tile before is under way;
  /// while a block ends, the first scores of the next one are.
  __device__ __forceinline__ void attend() {
    Scores s;
    Weights p;
    int place = next_place();
    start_block(s);
    while (true) {
      const QueryBlock block = block_at<kD>(x, place);
      const int tiles = key_tiles(x.a, block, kTile);
      seen_by_all =
          keys(x.a, block.b, min(block.first + mma_sm80::warp_row<1>(), x.a.q_len - 1)).end;
      wait_for_products<0>();
      first_weights(p, s, place, tiles == 1);
#pragma unroll 1
      for (int j = 1; j < tiles; ++j) {
        take_turn();
        start_scores(s);
        start_output(p);
        give_turn();
        next_weights(p, s, place, j, j + 1 == tiles);
      }
      release(shared.q_empty(group()));
      const int next = next_place();
      if (next < 0) break;
      take_turn();
      start_output(p);
      start_block(s);
      give_turn();
      wait_for_products<1>();
      release(shared.v_empty(stage.before().at()));
      finish(place);
      place = next;
    }
    start_output(p);
    wait_for_products<0>();
    finish(place);
  }
};

/// O and LSE of all blocks. Consumers come first, so that a warp's number tells its rows.
template <typename T, int kD>
__device__ __forceinline__ void forward(const BoxedAttention& x) {
  constexpr TileShape kTile = forward_tile(kD);
  extern __shared__ __align__(1024) unsigned char dynamic[];
  const Shared<kD> shared{aligned_shared(dynamic)};
  if (threadIdx.x == 0) shared.begin_barriers();
  __syncthreads();
  if (mma_sm80::warp() >= kTile.consumers * 4) {
    lower_registers<kTile.producer_registers>();
    if (threadIdx.x == kTile.consumers * kGroupThreads) produce<kD>(x, shared);
  } else {
    raise_registers<kTile.consumer_registers>();
    Consumer<T, kD> consumer{x, shared, x.a.scale == 0.0f ? 1.0f : fabsf(x.a.scale_log2)};
    if (kTile.turns && consumer.group() == kTile.consumers - 1) consumer.give_turn();
    consumer.attend();
    if (kTile.turns && consumer.group() == 0) consumer.take_turn();  // the one that nobody needs
  }
}

}  // namespace flashbench::cuda::wgmma_sm90a

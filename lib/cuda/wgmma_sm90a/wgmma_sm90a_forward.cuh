#pragma once

#include "cuda/fragments/tile.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_producer.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_softmax.cuh"

/// FlashAttention on compute capability 9.0: FlashAttention-2's Algorithm 1 for 64 queries a
/// warpgroup, with FlashAttention-3's division of labour. A CTA stays for many blocks of queries.
namespace flashbench::cuda::wgmma_sm90a {

/// One warpgroup of consumers, on its 64 queries of one block after another.
template <typename T, int kD>
struct Consumer {
  static constexpr TileShape kTile = forward_tile(kD);
  static constexpr int kKeys = kTile.columns;
  using Scores = Fragments<1, kKeys>;
  using Weights = Rounded<kKeys>;

  const BoxedAttention& x;
  const Shared<kD> shared;
  const float scale_log2;            ///< positive
  const int group;                   ///< the warpgroup's number among the consumers
  PipelineState<kTile.stages> pipe;  ///< of the next scores
  PipelineState<kMailboxSlots> mailbox;
  PipelineState<1> queries;
  Fragments<1, kD> o;
  RunningSoftmax<1> state;
  // Keys are numbered from the block's first tile on.
  int limit[2];     ///< the row of each half sees keys before this one
  int seen_by_all;  ///< keys before this one are seen by all rows of the warp: no tile of them
                    ///< needs a mask at its right

  /// The ping-pong, where the tile has one: see ping_pong_sync.
  __device__ __forceinline__ void wait_for_tensor_cores() const {
    if (kTile.ping_pong) ping_pong_sync(group);
  }
  __device__ __forceinline__ void pass_tensor_cores() const {
    if (kTile.ping_pong) ping_pong_arrive((group + 1) % kTile.consumers);
  }

  static __device__ __forceinline__ void wait_for_keys(const Shared<kD>& shared,
                                                       const PipelineState<kTile.stages>& of) {
    wait(shared.k_full(of.stage()), of.parity());
  }
  __device__ __forceinline__ void wait_for_next_keys() const {
    wait_for_keys(shared, {pipe.count + 1});
  }

  /// Issues S = QKᵀ, in flight afterwards.
  __device__ __forceinline__ void start_scores(Scores& s) const {
    const std::uint64_t q = operand(shared.q(group), 0), k = operand(shared.k(pipe.stage()), 0);
    begin_products();
#pragma unroll
    for (int i = 0; i < kD; i += 16)
      multiply_by_transposed<T, kKeys>(s[0], advanced(q, inner_step(kGroupRows, i)),
                                       advanced(k, inner_step(kKeys, i)), i != 0);
    commit_products();
  }

  /// Issues O += PV of the tile before the one whose scores come next; in flight afterwards.
  __device__ __forceinline__ void start_output(const Weights& p) {
    const PipelineState<kTile.stages> of = pipe.previous();
    wait(shared.v_full(of.stage()), of.parity());
    const std::uint64_t v = operand(shared.v(of.stage()), tile_bytes(kBoxColumns, kKeys));
    begin_products();
#pragma unroll
    for (int i = 0; i < kKeys / 16; ++i)
      multiply_from_registers<T, kD>(o[0], p[i], advanced(v, tile_bytes(kBoxColumns, 16 * i)));
    commit_products();
  }

  /// The query of this thread's row of a half; beyond the last one, that one.
  __device__ __forceinline__ int query(const QueryBlock& block, int half) const {
    const int row = fragments::warp_row<1>() + fragments::fragment_row(half);
    return min(block.first_row + row, x.a.q_len - 1);
  }

  /// Where what each row of the block sees ends.
  __device__ __forceinline__ void set_limits(const QueryBlock& block, int first_key) {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      limit[half] = keys(x.a, block.b, query(block, half)).end - first_key;
    seen_by_all = uniform(limit[0]);  // lane 0 has the warp's first row
  }

  /// Hides the keys of tile j before those that rows see. Where a row begins is looked up here, not
  /// kept: few masks have such rows, and every tile of every mask needs the registers.
  __device__ __forceinline__ void hide_keys_before_rows(Scores& s, int j, int work) const {
    const QueryBlock block = block_of<kD>(x, work);
    const int first_key = (KeyTiles(x.a, block, kTile).first + j) * kKeys;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int begin =
          keys(x.a, block.b, query(block, half)).begin - first_key - fragments::fragment_column();
      if (begin <= 0) continue;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int c = 0; c < 2; ++c)
          if (8 * n + c < begin) s[0][n][2 * half + c] = -kInf;
    }
  }

  /// Applies the sign of the scale and the masks to the scores of the block's tile j.
  __device__ __forceinline__ void mask(Scores& s, int j, int work) const {
    if (x.a.scale <= 0.0f)
#pragma unroll
      for (auto& columns : s[0])
#pragma unroll
        for (float& score : columns) score *= x.a.scale < 0.0f ? -1.0f : 0.0f;
    if (rows_begin_later(x.a)) hide_keys_before_rows(s, j, work);
    if ((j + 1) * kKeys <= seen_by_all) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int sees = limit[half] - j * kKeys - fragments::fragment_column();
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int c = 0; c < 2; ++c)
          if (8 * n + c >= sees) s[0][n][2 * half + c] = -kInf;
    }
  }

  __device__ __forceinline__ void rescale_output(const float (&rescale)[2]) {
#pragma unroll
    for (int n = 0; n < kD / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) o[0][n][c] *= rescale[c / 2];
  }

  /// O of rows that see nothing is zero: hidden values may be NaN, and 0·NaN is NaN.
  __device__ __forceinline__ void clear_unseen(const float (&inverse)[2]) {
    if (!__any_sync(0xffffffffu, inverse[0] == 0.0f || inverse[1] == 0.0f)) return;
#pragma unroll
    for (int n = 0; n < kD / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (inverse[c / 2] == 0.0f) o[0][n][c] = 0.0f;
  }

  /// Four lanes write 16 bytes of a row at once.
  __device__ __forceinline__ void store_from_registers(const fragments::HeadRows& to, int first,
                                                       const float (&inverse)[2]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int q = first + fragments::warp_row<1>() + fragments::fragment_row(half);
      if (q >= x.a.q_len) continue;
      fragments::Bits* const row = to.row(q) + fragments::fragment_column();
#pragma unroll
      for (int n = 0; n < kD / 8; ++n)
        if (8 * n < x.a.d)
          *reinterpret_cast<std::uint32_t*>(row + 8 * n) = fragments::pack<T>(
              o[0][n][2 * half] * inverse[half], o[0][n][2 * half + 1] * inverse[half]);
    }
  }

  /// O / sum, rounded, and LSE.
  __device__ __forceinline__ void finish(int work) {
    const QueryBlock block = block_of<kD>(x, work);
    float inverse[2];
    fragments::finish_rows(x.a, block, fragments::warp_row<1>(), state, 0, scale_log2, inverse);
    clear_unseen(inverse);
    const fragments::HeadRows to = fragments::query_rows(x.a, x.a.o, block.b, block.h);
    if constexpr (stages_output(kD))
      fragments::store_rows<T, kD>(o[0], inverse, shared.o(), fragments::warp_row<1>(), to,
                                   block.first_row);
    else
      store_from_registers(to, block.first_row, inverse);
  }

  /// The next work item from the mailbox; negative: there is none.
  __device__ __forceinline__ int next_work() {
    wait(shared.mailbox_full(mailbox.stage()), mailbox.parity());
    const int work = uniform(static_cast<int>(load_shared(shared.mailbox(mailbox.stage()))));
    ++mailbox.count;
    return work;
  }

  /// Issues the first scores of a block.
  __device__ __forceinline__ void start_block(Scores& s) {
    wait(shared.q_full(group), queries.parity());
    ++queries.count;
    wait_for_keys(shared, pipe);
    start_scores(s);
  }

  /// The first tile of a block: its scores become P, and start the maxima and sums.
  __device__ __forceinline__ void first_weights(Weights& p, Scores& s, int work, bool last) {
    release(shared.k_empty(pipe.stage()));
    state.reset();
    mask(s, 0, work);
    float rescale[2];  // of nothing
    update_maxima<T, kKeys>(s, state, scale_log2, rescale);
    exponentiate<kKeys>(s, state);
    round<T, kKeys>(p, s);
#pragma unroll
    for (auto& columns : o[0])
#pragma unroll
      for (float& sum : columns) sum = 0.0f;
    if (!last) wait_for_next_keys();
    ++pipe.count;
  }

  /// The scores of tile j, issued before P·V of the tile before, become P.
  ///
  /// Where the two overlap, the wait for the next keys stands in between: ptxas moves the wait for
  /// P·V to the front of its basic block, before the softmax, and the wait for the keys begins
  /// another block. Where they do not, both that wait and the branch that rescales O come before
  /// the exponentials, which then share their basic block with the rounding of P.
  __device__ __forceinline__ void next_weights(Weights& p, Scores& s, int work, int j, bool last) {
    wait_for_products<kTile.intra_warpgroup_overlap ? 1 : 0>();
    release(shared.k_empty(pipe.stage()));
    if (!kTile.intra_warpgroup_overlap) release(shared.v_empty(pipe.previous().stage()));
    mask(s, j, work);
    float rescale[2] = {1.0f, 1.0f};
    const bool rose = update_maxima<T, kKeys>(s, state, scale_log2, rescale);
    if (kTile.intra_warpgroup_overlap) {
      exponentiate<kKeys>(s, state);
      compute_before_waiting(state.sum[0][0] + state.sum[0][1], shared.mailbox(0));
      if (!last) wait_for_next_keys();
      wait_for_products<0>();
      release(shared.v_empty(pipe.previous().stage()));
      if (rose) rescale_output(rescale);
    } else {
      if (!last) wait_for_next_keys();
      if (rose) rescale_output(rescale);
      exponentiate<kKeys>(s, state);
    }
    round<T, kKeys>(p, s);
    ++pipe.count;
  }

  /// One work item after another. P·V of a tile is in flight under the softmax of the next tile,
  /// and the first scores of a block under the end of the block before.
  __device__ __forceinline__ void attend() {
    Scores s;
    Weights p;
    int work = next_work();
    start_block(s);
    while (true) {
      const QueryBlock block = block_of<kD>(x, work);
      const KeyTiles visited(x.a, block, kTile);
      const int tiles = uniform(visited.count);
      set_limits(block, visited.first * kKeys);
      wait_for_products<0>();
      first_weights(p, s, work, tiles == 1);
#pragma unroll 1
      for (int j = 1; j < tiles; ++j) {
        wait_for_tensor_cores();
        start_scores(s);
        start_output(p);
        pass_tensor_cores();
        next_weights(p, s, work, j, j + 1 == tiles);
      }
      release(shared.q_empty(group));
      const int next = next_work();
      if (next < 0) break;
      wait_for_tensor_cores();
      start_output(p);
      start_block(s);
      pass_tensor_cores();
      wait_for_products<1>();
      release(shared.v_empty(pipe.previous().stage()));
      finish(work);
      work = next;
    }
    start_output(p);
    wait_for_products<0>();
    finish(work);
  }
};

/// O and LSE of all blocks. Consumers come first, so that a warp's number tells its rows.
template <typename T, int kD>
__device__ __forceinline__ void forward(const BoxedAttention& x) {
  constexpr TileShape kTile = forward_tile(kD);
  extern __shared__ __align__(1024) unsigned char dynamic[];
  const Shared<kD> shared{aligned_shared(dynamic)};
  if (threadIdx.x == 0) shared.init_barriers();
  __syncthreads();
  if (fragments::warp() >= kTile.consumers * 4) {
    lower_registers<kTile.producer_registers>();
    if (threadIdx.x == kTile.consumers * kGroupThreads) produce<kD>(x, shared);
  } else {
    raise_registers<kTile.consumer_registers>();
    const float scale_log2 = x.a.scale == 0.0f ? 1.0f : fabsf(x.a.scale_log2);
    Consumer<T, kD> consumer{x, shared, scale_log2, warpgroup()};
    if (kTile.ping_pong && consumer.group == kTile.consumers - 1) consumer.pass_tensor_cores();
    consumer.attend();
    if (kTile.ping_pong && consumer.group == 0)
      consumer.wait_for_tensor_cores();  // matches the last arrival
  }
}

}  // namespace flashbench::cuda::wgmma_sm90a

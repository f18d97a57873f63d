#pragma once

#include "cuda/wgmma_sm90a/wgmma_sm90a_rows.cuh"

/// FlashAttention on compute capability 9.0: FlashAttention-2's Algorithm 1 for 64 queries a
/// warpgroup, with FlashAttention-3's division of labour. A CTA stays for many blocks of queries.
namespace flashbench::cuda::wgmma_sm90a {

/// One warpgroup of consumers, on its 64 queries of one block after another.
template <typename T, int kD>
struct Consumer {
  using Rows = BlockRows<T, kD>;
  static constexpr TileShape kTile = Rows::kTile;
  static constexpr int kKeys = Rows::kKeys;
  using Scores = typename Rows::Scores;
  using Weights = Rounded<kKeys>;

  Rows rows;
  PipelineState<kTile.stages> pipe;  ///< of the next scores

  /// The ping-pong, where the tile has one: see ping_pong_sync.
  __device__ __forceinline__ void wait_for_tensor_cores() const {
    if (kTile.ping_pong) ping_pong_sync(rows.group);
  }
  __device__ __forceinline__ void pass_tensor_cores() const {
    if (kTile.ping_pong) ping_pong_arrive((rows.group + 1) % kTile.consumers);
  }

  static __device__ __forceinline__ void wait_for_keys(const Shared<kD>& shared,
                                                       const PipelineState<kTile.stages>& of) {
    wait(shared.k_full(of.stage()), of.parity());
  }
  __device__ __forceinline__ void wait_for_next_keys() const {
    wait_for_keys(rows.shared, {pipe.count + 1});
  }

  /// Issues S = QKᵀ, in flight afterwards.
  __device__ __forceinline__ void start_scores(Scores& s) const {
    const std::uint64_t q = operand(rows.shared.q(rows.group), 0),
                        k = operand(rows.shared.k(pipe.stage()), 0);
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
    wait(rows.shared.v_full(of.stage()), of.parity());
    const std::uint64_t v = operand(rows.shared.v(of.stage()), tile_bytes(kBoxColumns, kKeys));
    begin_products();
#pragma unroll
    for (int i = 0; i < kKeys / 16; ++i)
      multiply_from_registers<T, kD>(rows.o[0], p[i], advanced(v, tile_bytes(kBoxColumns, 16 * i)));
    commit_products();
  }

  /// Issues the first scores of a block.
  __device__ __forceinline__ void start_block(Scores& s) {
    rows.wait_for_queries();
    wait_for_keys(rows.shared, pipe);
    start_scores(s);
  }

  /// The first tile of a block: its scores become P, and start the maxima and sums.
  __device__ __forceinline__ void first_weights(Weights& p, Scores& s, int work, bool last) {
    release(rows.shared.k_empty(pipe.stage()));
    rows.state.reset();
    rows.mask(s, 0, work);
    float rescale[2];  // of nothing
    update_maxima<T, kKeys>(s, rows.state, rows.scale_log2, rescale);
    exponentiate<kKeys>(s, rows.state);
    round<T, kKeys>(p, s);
    rows.clear_output();
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
    release(rows.shared.k_empty(pipe.stage()));
    if (!kTile.intra_warpgroup_overlap) release(rows.shared.v_empty(pipe.previous().stage()));
    rows.mask(s, j, work);
    float rescale[2] = {1.0f, 1.0f};
    const bool rose = update_maxima<T, kKeys>(s, rows.state, rows.scale_log2, rescale);
    if (kTile.intra_warpgroup_overlap) {
      exponentiate<kKeys>(s, rows.state);
      compute_before_waiting(rows.state.sum[0][0] + rows.state.sum[0][1], rows.shared.mailbox(0));
      if (!last) wait_for_next_keys();
      wait_for_products<0>();
      release(rows.shared.v_empty(pipe.previous().stage()));
      if (rose) rows.rescale_output(rescale);
    } else {
      if (!last) wait_for_next_keys();
      if (rose) rows.rescale_output(rescale);
      exponentiate<kKeys>(s, rows.state);
    }
    round<T, kKeys>(p, s);
    ++pipe.count;
  }

  /// One work item after another. P·V of a tile is in flight under the softmax of the next tile,
  /// and the first scores of a block under the end of the block before.
  __device__ __forceinline__ void attend() {
    Scores s;
    Weights p;
    int work = rows.next_work();
    start_block(s);
    while (true) {
      const QueryBlock block = block_of<kD>(rows.x, work);
      const VisitedTiles visited(rows.x.a, block, kTile);
      const int tiles = uniform(visited.count);
      rows.set_limits(block, visited.first * kKeys);
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
      release(rows.shared.q_empty(rows.group));
      const int next = rows.next_work();
      if (next < 0) break;
      wait_for_tensor_cores();
      start_output(p);
      start_block(s);
      pass_tensor_cores();
      wait_for_products<1>();
      release(rows.shared.v_empty(pipe.previous().stage()));
      rows.finish(work);
      work = next;
    }
    start_output(p);
    wait_for_products<0>();
    rows.finish(work);
  }

  __device__ __forceinline__ void run() {
    if (rows.group == kTile.consumers - 1) pass_tensor_cores();
    attend();
    if (rows.group == 0) wait_for_tensor_cores();  // matches the last arrival
  }
};

}  // namespace flashbench::cuda::wgmma_sm90a

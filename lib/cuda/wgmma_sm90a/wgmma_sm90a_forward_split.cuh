#pragma once

#include "cuda/wgmma_sm90a/wgmma_sm90a_rows.cuh"

/// The forward where O of 64 rows is more than one warpgroup can hold: two have the same rows, and
/// each one half of the columns of d. Each multiplies its half of q·k, both add the two partial
/// scores, do the same softmax and add P·V of their own columns to O.
namespace flashbench::cuda::wgmma_sm90a {

/// One of the two warpgroups.
///
/// A tile's products do not overlap with its softmax: with 64 rows a tile of K and V takes longer
/// to arrive than all of its chain (README). So what counts is that each stage is asked for again
/// as early as can be: K before the exchange, V before the next scores.
template <typename T, int kD>
struct SplitConsumer {
  using Rows = BlockRows<T, kD>;
  static constexpr TileShape kTile = Rows::kTile;
  static constexpr int kKeys = Rows::kKeys, kOwn = Rows::kOwn;
  using Scores = typename Rows::Scores;
  using Weights = Rounded<kKeys>;

  Rows rows;
  PipelineState<Rows::Places::kStages> pipe;  ///< of this warpgroup's half of the tile

  /// This half's part of S = QKᵀ.
  __device__ __forceinline__ void multiply_scores(Scores& s) const {
    const Shared<kD>& shared = rows.shared;
    wait(shared.k_full(pipe.stage()), pipe.parity());
    const std::uint64_t q = operand(shared.q(rows.group), 0),
                        k = operand(shared.k(pipe.stage()), 0);
    begin_products();
#pragma unroll
    for (int i = 0; i < kOwn; i += 16)
      multiply_by_transposed<T, kKeys>(s[0], advanced(q, inner_step(kGroupRows, i)),
                                       advanced(k, inner_step(kKeys, i)), i != 0);
    commit_products();
    wait_for_products<0>();
    release(shared.k_empty(pipe.stage()));
  }

  /// Adds the other half's part. A thread's sums are those of the thread with its number in the
  /// other warpgroup, so that warps meet in pairs. x + y = y + x: both have the same bits, and with
  /// them the same maxima, sums and P.
  __device__ __forceinline__ void add_other_half(Scores& s) const {
    const int warp = fragments::warp() % 4;
    const auto own_place =
        static_cast<std::uint32_t>(4 * (warp * 16 * kKeys + fragments::lane() * 4));
    sync_warps_of_half_rows(kPartialRead + warp);
    const std::uint32_t own = rows.shared.partial(rows.group) + own_place;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) store_shared(own + 512 * n, s[0][n]);
    sync_warps_of_half_rows(kPartialWritten + warp);
    const std::uint32_t other = rows.shared.partial(1 - rows.group) + own_place;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      const float4 part = load_shared_float4(other + 512 * n);
      s[0][n][0] += part.x;
      s[0][n][1] += part.y;
      s[0][n][2] += part.z;
      s[0][n][3] += part.w;
    }
  }

  /// The scores of tile j become P; O is rescaled where a maximum rose. That branch comes behind
  /// the exponentials: ptxas moves them to the front of it, but not their sums, which then no
  /// exponential hides.
  __device__ __forceinline__ void weights(Weights& p, Scores& s, int work, int j) {
    rows.mask(s, j, work);
    float rescale[2];
    const bool rose = update_maxima<T, kKeys>(s, rows.state, rows.scale_log2, rescale);
    exponentiate<kKeys>(s, rows.state);
    compute_before_waiting(rows.state.sum[0][0] + rows.state.sum[0][1], rows.shared.mailbox(0));
    if (rose) rows.rescale_output(rescale);
    round<T, kKeys>(p, s);
  }

  /// O += PV of this half's columns.
  __device__ __forceinline__ void multiply_output(const Weights& p) {
    const Shared<kD>& shared = rows.shared;
    wait(shared.v_full(pipe.stage()), pipe.parity());
    const std::uint64_t v = operand(shared.v(pipe.stage()), tile_bytes(kBoxColumns, kKeys));
    begin_products();
#pragma unroll
    for (int i = 0; i < kKeys / 16; ++i)
      multiply_from_registers<T, kOwn>(rows.o[0], p[i],
                                       advanced(v, tile_bytes(kBoxColumns, 16 * i)));
    commit_products();
    wait_for_products<0>();
    release(shared.v_empty(pipe.stage()));
  }

  /// One block of queries.
  __device__ __forceinline__ void attend(int work) {
    const QueryBlock block = block_of<kD>(rows.x, work);
    const VisitedTiles visited(rows.x.a, block, kTile);
    const int tiles = uniform(visited.count);
    rows.set_limits(block, visited.first * kKeys);
    rows.state.reset();
    rows.clear_output();
    rows.wait_for_queries();
    Scores s;
    Weights p;
#pragma unroll 1
    for (int j = 0; j < tiles; ++j, pipe.count += kTile.parts()) {
      multiply_scores(s);
      if (j + 1 == tiles) release(rows.shared.q_empty(rows.group));
      add_other_half(s);
      weights(p, s, work, j);
      multiply_output(p);
    }
    rows.finish(work);
  }

  __device__ __forceinline__ void run() {
    pipe.count = static_cast<std::uint32_t>(rows.group);
    for (int work = rows.next_work(); work >= 0; work = rows.next_work()) attend(work);
  }
};

}  // namespace flashbench::cuda::wgmma_sm90a

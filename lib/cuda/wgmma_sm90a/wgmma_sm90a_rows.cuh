#pragma once

#include "cuda/fragments/tile.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_producer.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_softmax.cuh"

/// What consumers of the forward do whichever way they divide the work: masks, softmax's state, O;
/// and the kernel around them.
namespace flashbench::cuda::wgmma_sm90a {

/// A consumer's 64 rows of a block, and its columns of O.
template <typename T, int kD>
struct BlockRows {
  static constexpr TileShape kTile = forward_tile(kD);
  static constexpr int kKeys = kTile.columns;
  static constexpr int kOwn = own_columns(kD, kTile);
  using Scores = Fragments<1, kKeys>;
  using Places = Shared<kD>;

  const BoxedAttention& x;
  const Places shared;
  const float scale_log2;  ///< positive
  const int group;         ///< the warpgroup's number among the consumers
  PipelineState<kMailboxSlots> mailbox;
  PipelineState<1> queries;
  Fragments<1, kOwn> o;
  RunningSoftmax<1> state;
  // Keys are numbered from the block's first tile on.
  int limit[2];     ///< the row of each half sees keys before this one
  int seen_by_all;  ///< keys before this one are seen by all rows of the warp: no tile of them
                    ///< needs a mask at its right

  /// The first row of the block that this warp has.
  static __device__ __forceinline__ int warp_row() {
    const int row = fragments::warp_row<1>();
    return kTile.splits_d ? row % kGroupRows : row;
  }

  /// The next work item from the mailbox; negative: there is none.
  __device__ __forceinline__ int next_work() {
    wait(shared.mailbox_full(mailbox.stage()), mailbox.parity());
    const int work = uniform(static_cast<int>(load_shared(shared.mailbox(mailbox.stage()))));
    ++mailbox.count;
    return work;
  }

  __device__ __forceinline__ void wait_for_queries() {
    wait(shared.q_full(group), queries.parity());
    ++queries.count;
  }

  /// The query of this thread's row of a half; beyond the last one, that one.
  __device__ __forceinline__ int query(const QueryBlock& block, int half) const {
    const int row = warp_row() + fragments::fragment_row(half);
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
    const int first_key = (VisitedTiles(x.a, block, kTile).first + j) * kKeys;
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

  __device__ __forceinline__ void clear_output() {
#pragma unroll
    for (auto& columns : o[0])
#pragma unroll
      for (float& sum : columns) sum = 0.0f;
  }

  __device__ __forceinline__ void rescale_output(const float (&rescale)[2]) {
#pragma unroll
    for (int n = 0; n < kOwn / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) o[0][n][c] *= rescale[c / 2];
  }

  /// O of rows that see nothing is zero: hidden values may be NaN, and 0·NaN is NaN.
  __device__ __forceinline__ void clear_unseen(const float (&inverse)[2]) {
    if (!__any_sync(0xffffffffu, inverse[0] == 0.0f || inverse[1] == 0.0f)) return;
#pragma unroll
    for (int n = 0; n < kOwn / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (inverse[c / 2] == 0.0f) o[0][n][c] = 0.0f;
  }

  /// Four lanes write 16 bytes of a row at once.
  __device__ __forceinline__ void store_from_registers(const fragments::HeadRows& to, int first,
                                                       const float (&inverse)[2]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int q = first + warp_row() + fragments::fragment_row(half);
      if (q >= x.a.q_len) continue;
      const int first_column = shared.first_column(group);
      fragments::Bits* const row = to.row(q) + first_column + fragments::fragment_column();
#pragma unroll
      for (int n = 0; n < kOwn / 8; ++n)
        if (first_column + 8 * n < x.a.d)
          *reinterpret_cast<std::uint32_t*>(row + 8 * n) = fragments::pack<T>(
              o[0][n][2 * half] * inverse[half], o[0][n][2 * half + 1] * inverse[half]);
    }
  }

  /// O / sum, rounded, and LSE. Of consumers with the same rows the first one writes LSE.
  __device__ __forceinline__ void finish(int work) {
    const QueryBlock block = block_of<kD>(x, work);
    float inverse[2];
    if (kTile.splits_d && group > 0)
      fragments::inverse_sums(state, 0, inverse);
    else
      fragments::finish_rows(x.a, block, warp_row(), state, 0, scale_log2, inverse);
    clear_unseen(inverse);
    const fragments::HeadRows to = fragments::query_rows(x.a, x.a.o, block.b, block.h);
    if constexpr (stages_output(kD))
      fragments::store_rows<T, kD>(o[0], inverse, shared.o(), warp_row(), to, block.first_row);
    else
      store_from_registers(to, block.first_row, inverse);
  }
};

/// O and LSE of all blocks. Consumers come first, so that a warp's number tells its rows.
template <typename Consumer>
__device__ __forceinline__ void forward(const BoxedAttention& x) {
  constexpr TileShape kTile = Consumer::Rows::kTile;
  extern __shared__ __align__(1024) unsigned char dynamic[];
  const typename Consumer::Rows::Places shared{aligned_shared(dynamic)};
  if (threadIdx.x == 0) shared.init_barriers();
  __syncthreads();
  if (fragments::warp() >= kTile.consumers * 4) {
    lower_registers<kTile.producer_registers>();
    if (threadIdx.x == kTile.consumers * kGroupThreads) produce(x, shared);
  } else {
    raise_registers<kTile.consumer_registers>();
    const float scale_log2 = x.a.scale == 0.0f ? 1.0f : fabsf(x.a.scale_log2);
    Consumer consumer{{x, shared, scale_log2, warpgroup()}};
    consumer.run();
  }
}

}  // namespace flashbench::cuda::wgmma_sm90a

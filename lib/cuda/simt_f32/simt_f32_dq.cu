#include "cuda/simt_f32/simt_f32_rows.cuh"

// simt_f32, backward, first half: D = rowsum(dO o O), and dQ = scale * dS K.
//
// A block owns kRows queries of one head and walks over their visible keys: the forward's shape
// with a second score tile, dP = dO Vᵀ. dQ stays in registers like the forward's O, so nothing is
// ever added from two blocks: bitwise equal runs.
namespace flashbench::cuda::simt {
namespace {

/// One warp a row.
__device__ void delta(const Attention& a) {
  const std::int64_t row = blockIdx.x * (kDeltaThreads / 32ll) + threadIdx.x / 32;
  if (row >= static_cast<std::int64_t>(a.b) * a.h * a.q_len) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int head = static_cast<int>(row / a.q_len), q = static_cast<int>(row % a.q_len);
  const Head o = head_of(a.o, a.element, head / a.h, head % a.h);
  const Head d_o = head_of(a.d_o, a.element, head / a.h, head % a.h);
  float sum = 0;
  with_element(a.element, [&](auto zero) {
    using T = decltype(zero);
    const auto four = [&](const Head& head, int column) {
      return widen(*reinterpret_cast<const Four<T>*>(head.template at<T>(q, column)));
    };
    for (int column = lane * 4; column < o.stride_row; column += 128)
      sum = dot(four(o, column), four(d_o, column), sum);
  });
  for (int other = 1; other < 32; other *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
  if (lane == 0) a.delta[row] = sum;
}

/// Scores become P, of this thread's part of the tile.
template <TileShape kTile>
__device__ __forceinline__ void recompute_weights(Scores<kTile>& s,
                                                  const QueryBlock<kTile>& block) {
  const Lanes<kTile> lane;
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) {
    const QueryStatistics row(block.a, block.values() + block.queries()(lane.row(i)));
#pragma unroll
    for (int c = 0; c < kTile.own_columns; ++c) s[i][c] = row.weight(s[i][c], block.a.scale_log2);
  }
}

/// dP becomes dS = P o (dP - D). P lies where this thread left it in shared memory.
template <TileShape kTile>
__device__ __forceinline__ void differentiate(Scores<kTile>& dp, const QueryBlock<kTile>& block) {
  const Lanes<kTile> lane;
  const float* const own = own_weights<kTile>() + lane.column(0);
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) {
    const float delta = block.a.delta[block.values() + block.queries()(lane.row(i))];
#pragma unroll
    for (int c = 0; c < kTile.own_columns; ++c)
      dp[i][c] = own[i * kTile.columns() + 16 * c] * (dp[i][c] - delta);
  }
}

template <int kPadded>
__device__ __forceinline__ void dq(const Attention& a) {
  constexpr TileShape kTile = query_shape(kPadded);
  const QueryBlock<kTile> block(a, kTile.parts(kPadded, a.d));
  const int b = block.index.b;
  const Head q = head_of(a.q, a.element, b, block.index.h);
  const Head d_o = head_of(a.d_o, a.element, b, block.index.h);
  const Head k = head_of(a.k, a.element, b, block.kv_head());
  const Head v = head_of(a.v, a.element, b, block.kv_head());
  using TileFactors = Factors<kTile, RowsFrom, ListedRows>;
  const auto for_scores = [&](int tile) {
    return TileFactors{q, block.queries(), k, block.keys_of(tile), a.d};
  };

  Sums<kTile> sums = {};
  Stages<kTile> stages{shared_floats};
  if (block.first_tile * kTile.columns() < block.end) {
    block.list_keys_of(block.first_tile);
    __syncthreads();
    stages.begin(for_scores(block.first_tile));
  }
  for (int tile = block.first_tile; tile * kTile.columns() < block.end; ++tile) {
    block.list_keys_of(tile + 1);
    const TileFactors for_gradients{d_o, block.queries(), v, block.keys_of(tile), a.d};
    const auto values = [&](int column) {
      return Values<kTile, ListedRows>{k, block.keys_of(tile), column};
    };
    {
      Scores<kTile> s = {};
      multiply_factors<kTile>(s, stages, for_scores(tile), for_gradients);
      recompute_weights<kTile>(s, block);
      block.hide(s, tile, 0.0f);
      store_weights<kTile>(s);
    }
    Scores<kTile> ds = {};
    multiply_factors<kTile>(ds, stages, for_gradients, values(block.first_column()));
    differentiate<kTile>(ds, block);
    store_weights<kTile>(ds);
    add_weighted<kTile>(sums, stages, values, block.first_column(), a.d, for_scores(tile + 1),
                        [](int) { return 1.0f; });
  }
  store<kTile>(
      sums, head_of(a.dq, a.element, b, block.index.h), block.first_column(),
      [&](int r) { return block.written(r); }, [&](int) { return a.scale; });
}

}  // namespace
}  // namespace flashbench::cuda::simt

extern "C" __global__ void __launch_bounds__(flashbench::cuda::simt::kDeltaThreads)
    simt_f32_delta(const __grid_constant__ flashbench::cuda::Attention a) {
  flashbench::cuda::simt::delta(a);
}

#define FLASHBENCH_SIMT_DQ(D)                                                                    \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::simt::query_shape(D).threads(), \
                                               1)                                                \
      simt_f32_dq_d##D(const __grid_constant__ flashbench::cuda::Attention a) {                  \
    flashbench::cuda::simt::dq<D>(a);                                                            \
  }

FLASHBENCH_SIMT_DQ(64)
FLASHBENCH_SIMT_DQ(128)
FLASHBENCH_SIMT_DQ(256)
FLASHBENCH_SIMT_DQ(512)
FLASHBENCH_SIMT_DQ(1024)

#include "cuda/simt_f32/simt_f32_rows.cuh"

// simt_f32, forward: FlashAttention-2's Algorithm 1 on ordinary f32 multiply-adds.
//
// A block owns kRows queries of one head and walks over their visible keys, a tile of columns() at
// a time. Of Q, K and V only slices lie in shared memory, so that any head dimension runs; O stays
// in registers. Q is read again for every tile, from L2.
namespace flashbench::cuda::simt {
namespace {

/// Of each row: the maximum of the scores so far, and the sum of the weights of this thread's
/// columns.
struct RunningSoftmax {
  float max[kOwnRows], sum[kOwnRows];
};

/// The maximum of a row over all warps that share it.
template <TileShape kTile>
__device__ __forceinline__ void exchange_maxima(float (&max)[kOwnRows]) {
  if constexpr (kTile.column_warps > 1) {
    const Lanes<kTile> lane;
    float* const maxima = exchange_memory<kTile>();
    if (lane.lx == 0)
      for (int i = 0; i < kOwnRows; ++i) maxima[kRows * lane.wc + lane.row(i)] = max[i];
    __syncthreads();  // the maxima are there
    for (int i = 0; i < kOwnRows; ++i)
      for (int w = 0; w < kTile.column_warps; ++w)
        max[i] = fmaxf(max[i], maxima[kRows * w + lane.row(i)]);
  }
}

/// Absorbs one tile of scores into the running maximum and sum of each row. Turns the scores into
/// weights; `factor` is what the sums of the tiles before are to be multiplied by. scale_log2 > 0.
template <TileShape kTile>
__device__ __forceinline__ void absorb(Scores<kTile>& s, float scale_log2, RunningSoftmax& state,
                                       float (&factor)[kOwnRows]) {
  float tile_max[kOwnRows];
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) {
    tile_max[i] = s[i][0];
#pragma unroll
    for (int c = 1; c < kTile.own_columns; ++c) tile_max[i] = fmaxf(tile_max[i], s[i][c]);
    tile_max[i] = row_max(tile_max[i]);
  }
  exchange_maxima<kTile>(tile_max);
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) {
    const float max = fmaxf(state.max[i], tile_max[i]);
    // A row that has seen nothing yet: (-inf) - (-inf) would be NaN.
    const float shift = max == -INFINITY ? 0.0f : max;
    factor[i] = exp2_fast((state.max[i] - shift) * scale_log2);
    state.max[i] = max;
    float sum = 0;
#pragma unroll
    for (int c = 0; c < kTile.own_columns; ++c) {
      s[i][c] = exp2_fast((s[i][c] - shift) * scale_log2);
      sum += s[i][c];
    }
    state.sum[i] = fmaf(state.sum[i], factor[i], sum);
  }
}

template <TileShape kTile>
__device__ __forceinline__ void rescale(Sums<kTile>& o, const float (&factor)[kOwnRows]) {
#pragma unroll
  for (int n = 0; n < kTile.own_quads(); ++n)
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) o[n][i] = scaled(o[n][i], factor[i]);
}

/// softmax(scale·s) = softmax(|scale|·(±s)): the running maximum wants a positive factor.
template <TileShape kTile>
__device__ __forceinline__ void fold_sign_into_scores(Scores<kTile>& s, float scale) {
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i)
#pragma unroll
    for (int c = 0; c < kTile.own_columns; ++c) s[i][c] = scale < 0.0f ? -s[i][c] : 0.0f;
}

/// The sum of the weights of each row, in every thread that shares it.
template <TileShape kTile>
__device__ __forceinline__ void complete_sums(float (&sum)[kOwnRows]) {
  const Lanes<kTile> lane;
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) sum[i] = row_sum(sum[i]);
  if constexpr (kTile.column_warps > 1) {
    float* const sums = exchange_memory<kTile>();  // the last maxima were read before the product
    if (lane.lx == 0)
      for (int i = 0; i < kOwnRows; ++i) sums[kRows * lane.wc + lane.row(i)] = sum[i];
    __syncthreads();  // the sums are there
    for (int i = 0; i < kOwnRows; ++i) {
      sum[i] = 0;
      for (int w = 0; w < kTile.column_warps; ++w) sum[i] += sums[kRows * w + lane.row(i)];
    }
  }
}

/// LSE, and what the backward computes the same weights from.
template <TileShape kTile>
__device__ __forceinline__ void store_row_sums(const QueryBlock<kTile>& block,
                                               const RunningSoftmax& state, float scale_log2) {
  const Attention& a = block.a;
  const Lanes<kTile> lane;
  if (lane.lx != 0 || lane.wc != 0 || block.index.part != 0) return;
  for (int i = 0; i < kOwnRows; ++i) {
    const int q = block.written(lane.row(i));
    if (q < 0) continue;
    const std::int64_t at = block.values() + q;
    const bool sees = state.sum[i] > 0;
    const float log2_sum = log2f(state.sum[i]);
    a.lse[at] = sees ? fmaf(state.max[i], scale_log2, log2_sum) * fragments::kLn2 : -INFINITY;
    if (a.row_max == nullptr) continue;
    a.row_max[at] = sees ? (a.scale < 0.0f ? -state.max[i] : state.max[i]) : 0.0f;
    a.row_log2_sum[at] = sees ? log2_sum : INFINITY;
  }
}

template <int kPadded>
__device__ __forceinline__ void forward(const Attention& a) {
  constexpr TileShape kTile = query_shape(kPadded);
  const QueryBlock<kTile> block(a, kTile.parts(kPadded, a.d));
  const int b = block.index.b;
  const Head q = head_of(a.q, a.element, b, block.index.h);
  const Head k = head_of(a.k, a.element, b, block.kv_head());
  const Head v = head_of(a.v, a.element, b, block.kv_head());
  const auto factors = [&](int tile) {
    return Factors<kTile, RowsFrom, ListedRows>{q, block.queries(), k, block.keys_of(tile), a.d};
  };

  Sums<kTile> o = {};
  RunningSoftmax state;
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) {
    state.max[i] = -INFINITY;
    state.sum[i] = 0;
  }
  const float scale_log2 = a.scale == 0.0f ? 1.0f : fabsf(a.scale_log2);
  Stages<kTile> stages{shared_floats};
  if (block.first_tile * kTile.columns() < block.end) {
    block.list_keys_of(block.first_tile);
    __syncthreads();
    stages.begin(factors(block.first_tile));
  }
  for (int tile = block.first_tile; tile * kTile.columns() < block.end; ++tile) {
    block.list_keys_of(tile + 1);
    const auto values = [&](int column) {
      return Values<kTile, ListedRows>{v, block.keys_of(tile), column};
    };
    Scores<kTile> s = {};
    multiply_factors<kTile>(s, stages, factors(tile), values(block.first_column()));
    if (a.scale <= 0.0f) fold_sign_into_scores<kTile>(s, a.scale);
    block.hide(s, tile, -INFINITY);
    float factor[kOwnRows];
    absorb<kTile>(s, scale_log2, state, factor);
    store_weights<kTile>(s);
    // Where the sums take most registers, the factors leave theirs before the product.
    constexpr bool kRescaleNow = kTile.own_quads() > 2;
    if constexpr (kRescaleNow) rescale<kTile>(o, factor);
    add_weighted<kTile>(o, stages, values, block.first_column(), a.d, factors(tile + 1),
                        [&](int i) { return kRescaleNow ? 1.0f : factor[i]; });
  }

  complete_sums<kTile>(state.sum);
  store<kTile>(
      o, head_of(a.o, a.element, b, block.index.h), block.first_column(),
      [&](int r) { return block.written(r); },
      [&](int i) { return state.sum[i] > 0 ? 1 / state.sum[i] : 0.0f; });
  store_row_sums<kTile>(block, state, scale_log2);
}

}  // namespace
}  // namespace flashbench::cuda::simt

#define FLASHBENCH_SIMT_FORWARD(D)                                                               \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::simt::query_shape(D).threads(), \
                                               1)                                                \
      simt_f32_forward_d##D(const __grid_constant__ flashbench::cuda::Attention a) {             \
    flashbench::cuda::simt::forward<D>(a);                                                       \
  }

FLASHBENCH_SIMT_FORWARD(64)
FLASHBENCH_SIMT_FORWARD(128)
FLASHBENCH_SIMT_FORWARD(256)
FLASHBENCH_SIMT_FORWARD(512)
FLASHBENCH_SIMT_FORWARD(1024)

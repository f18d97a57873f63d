#include "cuda/simt_f32/simt_f32_weights.cuh"

// simt_f32, backward, first half: D = rowsum(dO o O), and dQ = scale * dS K.
//
// A block owns kRows queries of one head and walks over their visible keys: the forward's shape
// with a second score tile, dP = dO Vᵀ. Three products of 2 * 64 * 64 * d FLOP a tile; dQ stays
// in registers like the forward's O, so nothing is ever added from two blocks: bitwise equal runs.
namespace flashbench::cuda::simt {
namespace {

/// One warp a row.
__device__ void delta(const Attention& a) {
  const std::int64_t row = blockIdx.x * (kThreads / 32ll) + threadIdx.x / 32;
  if (row >= static_cast<std::int64_t>(a.b) * a.h * a.q_len) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int head = static_cast<int>(row / a.q_len), q = static_cast<int>(row % a.q_len);
  const Head o = head_of(a.o, a.element, head / a.h, head % a.h);
  const Head d_o = head_of(a.d_o, a.element, head / a.h, head % a.h);
  float sum = 0;
  with_element(a.element, [&](auto zero) {
    using T = decltype(zero);
    const T* const left = static_cast<const T*>(o.data) + q * o.stride_row;
    const T* const right = static_cast<const T*>(d_o.data) + q * d_o.stride_row;
    for (int column = lane * 4; column < o.stride_row; column += 128)
      sum = dot(widen(*reinterpret_cast<const Four<T>*>(left + column)),
                widen(*reinterpret_cast<const Four<T>*>(right + column)), sum);
  });
  sum = row_sum(sum);
  sum += __shfl_xor_sync(0xffffffffu, sum, 16);
  if (lane == 0) a.delta[row] = sum;
}

template <int kPaddedD>
__device__ void dq(const Attention& a) {
  constexpr int kRows = query_rows(kPaddedD), kOwnRows = kRows / 16;
  __shared__ Shared<kRows> shared;
  const Lanes<kRows> lane;
  const int tiles = (a.q_len + kRows - 1) / kRows;
  const BlockIndex block = block_index(tiles, a.h);
  const int first_q = (tiles - 1 - block.tile) * kRows;  // the longest causal tile first
  const Head q = head_of(a.q, a.element, block.b, block.h);
  const Head d_o = head_of(a.d_o, a.element, block.b, block.h);
  const Head k = head_of(a.k, a.element, block.b, block.h / a.group);
  const Head v = head_of(a.v, a.element, block.b, block.h / a.group);

  QueryRow own[kOwnRows];
  Sums<kRows, kPaddedD> sums = {};
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i)
    own[i] = query_row(a, block.b, block.h, min(first_q + lane.row(i), a.q_len - 1));
  const auto query = [&](int r) { return first_q + r < a.q_len ? first_q + r : -1; };
  const int end = keys(a, block.b, min(first_q + kRows, a.q_len) - 1).end;
  for (int first = first_tile(a, block.b, first_q); first < end; first += kColumns) {
    const auto key = [&](int c) { return first + c < end ? key_row(a, block.b, first + c) : -1; };
    Scores<kRows> s, dp;
    multiply<kRows>(s, shared, q, query, k, key, a.d);
    multiply<kRows>(dp, shared, d_o, query, v, key, a.d);
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const float p = weight(a, own[i], first + lane.column(c), s[i][c]);
        s[i][c] = p * (dp[i][c] - own[i].delta);
      }
    }
    store_weights<kRows>(shared, s);
    add_weighted<kRows, kPaddedD>(sums, shared, k, key, a.d);
  }
  store<kRows, kPaddedD>(sums, head_of(a.dq, a.element, block.b, block.h), query,
                         [&](int) { return a.scale; });
}

}  // namespace
}  // namespace flashbench::cuda::simt

extern "C" __global__ void __launch_bounds__(flashbench::cuda::simt::kThreads)
    simt_f32_delta(const __grid_constant__ flashbench::cuda::Attention a) {
  flashbench::cuda::simt::delta(a);
}

#define FLASHBENCH_SIMT_DQ(D)                                                       \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::simt::kThreads, 1) \
      simt_f32_dq_d##D(const __grid_constant__ flashbench::cuda::Attention a) {     \
    flashbench::cuda::simt::dq<D>(a);                                               \
  }

FLASHBENCH_SIMT_DQ(64)
FLASHBENCH_SIMT_DQ(128)
FLASHBENCH_SIMT_DQ(256)
FLASHBENCH_SIMT_DQ(512)
FLASHBENCH_SIMT_DQ(1024)

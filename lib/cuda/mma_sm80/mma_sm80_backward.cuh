#pragma once

#include "cuda/mma_sm80/mma_sm80_tile.cuh"

/// FlashAttention-2, Algorithm 2, in three kernels without atomics, so that gradients are
/// bitwise equal from run to run: D, then dQ by blocks of queries, then dK and dV by blocks of
/// keys. P and dP are computed twice, seven products instead of five; in return no f32 dQ crosses
/// memory.
namespace flashbench::cuda::mma_sm80 {

template <typename T>
__device__ __forceinline__ float2 unpack(std::uint32_t packed);

template <>
__device__ __forceinline__ float2 unpack<Bf16>(std::uint32_t packed) {
  return {__uint_as_float(packed << 16), __uint_as_float(packed & 0xffff0000u)};
}

template <>
__device__ __forceinline__ float2 unpack<F16>(std::uint32_t packed) {
  return __half22float2(*reinterpret_cast<const __half2*>(&packed));
}

/// D = rowsum(dO∘O), a warp per query.
template <typename T>
__device__ __forceinline__ void delta(const Attention& a) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kDeltaThreads / 32) + warp();
  if (row >= static_cast<std::int64_t>(a.b) * a.h * a.q_len) return;
  const int q = static_cast<int>(row % a.q_len);
  const int head = static_cast<int>(row / a.q_len);
  const Bits* o = query_rows(a, a.o, head / a.h, head % a.h).row(q);
  const Bits* d_o = query_rows(a, a.d_o, head / a.h, head % a.h).row(q);
  float sum = 0.0f;
  for (int i = lane() * 2; i < a.d; i += 64) {
    const float2 x = unpack<T>(*reinterpret_cast<const std::uint32_t*>(o + i));
    const float2 y = unpack<T>(*reinterpret_cast<const std::uint32_t*>(d_o + i));
    sum += x.x * y.x + x.y * y.y;
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (lane() == 0) a.delta[row] = sum;
}

/// Where the LSE and D of a head start.
__device__ __forceinline__ std::int64_t row_values(const Attention& a, int b, int h) {
  return (static_cast<std::int64_t>(b) * a.h + h) * a.q_len;
}

}  // namespace flashbench::cuda::mma_sm80

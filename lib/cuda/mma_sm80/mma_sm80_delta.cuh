#pragma once

#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/rows.cuh"
#include "cuda/mma_sm80/mma_sm80_layout.h"

/// The first kernel of the backward.
namespace flashbench::cuda::mma_sm80 {

using namespace fragments;

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
  for (int i = lane() * 2; i < a.d_v; i += 64) {
    const float2 x = unpack<T>(*reinterpret_cast<const std::uint32_t*>(o + i));
    const float2 y = unpack<T>(*reinterpret_cast<const std::uint32_t*>(d_o + i));
    sum += x.x * y.x + x.y * y.y;
  }
  sum = sum_of_lanes(sum);
  if (lane() == 0) a.delta[row] = sum;
}

}  // namespace flashbench::cuda::mma_sm80

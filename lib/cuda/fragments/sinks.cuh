#pragma once

#include "cuda/contract/arguments.h"
#include "cuda/contract/sequence_tile.h"
#include "cuda/fragments/warp.cuh"

/// Sinks, on any architecture: one more term exp(sink) of a row's sum, which has no value.
namespace flashbench::cuda::fragments {

constexpr float kLog2E = 1.4426950408889634f;

/// What a sink makes of a row that saw some key.
struct SinkEffect {
  float keys;       ///< their share of the sum
  float log2_rise;  ///< by which the log2 of the sum rises
  float lse;
};

/// Of a row whose keys' LSE is ln 2·(max·scale_log2 + log2_sum). Finite for any sink: the sink over
/// the keys is looked at as a logarithm, and exp is taken of what is not positive.
__device__ __forceinline__ SinkEffect sink_effect(float sink, float max, float scale_log2,
                                                  float log2_sum) {
  const float sink_log2 = fminf(sink * kLog2E, 0x1.fffffep127f);
  const float over = fmaf(-max, scale_log2, sink_log2) - log2_sum;
  const float smaller = exp2f(-fabsf(over));  // of the two terms, over the larger one
  const float both = 1.0f + smaller, log2_both = log2f(both);
  const float keys_lse = fmaf(max, scale_log2, log2_sum) * kLn2;
  return {(over > 0.0f ? smaller : 1.0f) / both, fmaxf(over, 0.0f) + log2_both,
          fmaf(log2_both, kLn2, fmaxf(keys_lse, sink))};
}

/// What this thread adds up of the rows [first, first + q_len) of a head.
__device__ __forceinline__ float add_sink_gradient(const Attention& a, float sink,
                                                   std::int64_t first, int q_len, float sum) {
  for (int q = static_cast<int>(threadIdx.x); q < q_len; q += kSinkThreads)
    sum = fmaf(exp2f((sink - a.lse[first + q]) * kLog2E), a.delta[first + q], sum);
  return sum;
}

/// dsinks[h] = -Σ over the block's threads.
__device__ __forceinline__ void write_sink_gradient(const Attention& a, int h, float sum) {
  constexpr int kWarps = kSinkThreads / 32;
  __shared__ float parts[kWarps];
  sum = sum_of_lanes(sum);
  if (lane() == 0) parts[warp()] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int i = 1; i < kWarps; ++i) sum += parts[i];
  a.dsinks[h] = -sum;
}

/// dsinks[h] = -Σ exp(sink - LSE)·D over the rows of head h = blockIdx.x, as of a key whose value
/// is 0. Added in an order that follows from the shape alone. Rows that see nothing have D = 0.
__device__ __forceinline__ void sink_gradient(const Attention& a) {
  const int h = static_cast<int>(blockIdx.x);
  const float sink = a.sinks[h];
  float sum = 0.0f;
  for (int b = 0; b < a.b; ++b)
    sum = add_sink_gradient(a, sink, (static_cast<std::int64_t>(b) * a.h + h) * a.q_len, a.q_len,
                            sum);
  write_sink_gradient(a, h, sum);
}

/// The same over the sequences of a list.
__device__ __forceinline__ void sink_gradient(const RaggedAttention& x) {
  const Attention& a = x.all;
  const int h = static_cast<int>(blockIdx.x);
  const float sink = a.sinks[h];
  float sum = 0.0f;
  for (int i = 0; i < x.count; ++i) {
    const SequenceTile& s = x.tiles[i];
    sum = add_sink_gradient(a, sink, s.first_row + static_cast<std::int64_t>(h) * s.q_len, s.q_len,
                            sum);
  }
  write_sink_gradient(a, h, sum);
}

}  // namespace flashbench::cuda::fragments

#pragma once

#include "cuda/contract/arguments.h"
#include "cuda/fragments/simt_vectors.cuh"
#include "cuda/normal/simt_normal_layout.h"

// What the kernels of normal attention share: rows of the materialised scores, each moved through
// the registers of the threads that share it, 16 bytes a thread at a time. They are bound by
// memory: an H100 has some 70 instructions a pair while its memory moves the 8 bytes of it.
//
// P and dS of 16-bit tensors overwrite the first half of the f32 row that they are made from. So a
// chunk is written only when all threads of the row have read their part of it; what is written
// ends before the next chunk begins.
namespace flashbench::cuda::normal {

using simt::Four;
using simt::narrow;
using simt::widen;

/// The threads that share a row: a warp or a block.
template <int kSize>
struct Team {
  static_assert(kSize == 32 || kSize == kThreads);
  static constexpr int kChunk = kSize * 4 * kVectors;  ///< columns held at a time

  static __device__ int thread() { return static_cast<int>(threadIdx.x) % kSize; }
  /// Of [b, h, q_len]; may lie beyond the last.
  static __device__ std::int64_t row() {
    return blockIdx.x * std::int64_t{kThreads / kSize} + threadIdx.x / kSize;
  }
  /// Where vector v of the chunk that begins at `first` lies.
  static __device__ int column(int first, int v) { return first + (v * kSize + thread()) * 4; }

  static __device__ void sync() {
    if constexpr (kSize == 32)
      __syncwarp();
    else
      __syncthreads();
  }
  static __device__ float max(float x) {
    return reduce(x, [](float a, float b) { return fmaxf(a, b); });
  }
  static __device__ float sum(float x) {
    return reduce(x, [](float a, float b) { return a + b; });
  }

 private:
  template <typename F>
  static __device__ float reduce(float x, F f) {
    for (int lane = 16; lane > 0; lane /= 2) x = f(x, __shfl_xor_sync(0xffffffffu, x, lane));
    if constexpr (kSize > 32) {
      __shared__ float parts[kSize / 32];  // one array for max and one for sum: each is used once
      if (thread() % 32 == 0) parts[thread() / 32] = x;
      __syncthreads();
      x = parts[0];
      for (int warp = 1; warp < kSize / 32; ++warp) x = f(x, parts[warp]);
    }
    return x;
  }
};

/// What P is multiplied by where it is stored as T.
template <typename T>
inline constexpr float kWeightScale = 1;
template <>
inline constexpr float kWeightScale<F16> = kF16WeightScale;

/// Which query of which head a row of [b, h, q_len] is.
struct RowIndex {
  int b, h, q;
};

__device__ inline RowIndex index_of(const Attention& a, std::int64_t row) {
  const std::int64_t head = row / a.q_len;
  return {static_cast<int>(head / a.h), static_cast<int>(head % a.h),
          static_cast<int>(row % a.q_len)};
}

/// The first one to three of four scores: the row ends at kv_len, and what lies beyond nobody
/// wrote.
__device__ inline float4 load_end(const float* row, int column, int kv_len) {
  float4 v = make_float4(row[column], 0, 0, 0);
  if (column + 1 < kv_len) v.y = row[column + 1];
  if (column + 2 < kv_len) v.z = row[column + 2];
  return v;
}

/// Reads a chunk of f32 scores; zeros beyond the row. Whole vectors first and without branches, so
/// that all of them are on their way at once.
template <int kTeam>
__device__ void load(float4 (&s)[kVectors], const float* row, int first, int kv_len) {
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = Team<kTeam>::column(first, v);
    s[v] = make_float4(0, 0, 0, 0);
    if (column + 4 <= kv_len) s[v] = *reinterpret_cast<const float4*>(row + column);
  }
  if (kv_len % 4 == 0) return;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = Team<kTeam>::column(first, v);
    if (column < kv_len && column + 4 > kv_len) s[v] = load_end(row, column, kv_len);
  }
}

/// Writes a chunk as T, from the start of the row that it was made from. All threads have read
/// their part of it by then.
template <typename T, int kTeam>
__device__ void store(const float4 (&x)[kVectors], float* row, int first, int kv_len) {
  if constexpr (sizeof(T) < sizeof(float)) Team<kTeam>::sync();
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = Team<kTeam>::column(first, v);
    if (column < kv_len) reinterpret_cast<Four<T>*>(row)[column / 4] = narrow<T>(x[v]);
  }
}

}  // namespace flashbench::cuda::normal

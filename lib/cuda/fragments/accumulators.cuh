#pragma once

#include "cuda/fragments/instructions.cuh"
#include "cuda/fragments/swizzle.h"
#include "cuda/fragments/warp.cuh"

/// Accumulators of a warp, and which rows and columns of them a lane holds.
namespace flashbench::cuda::fragments {

/// The f32 accumulators of a warp, 16·kRowTiles x kColumns, as C fragments of 16 x 8: who holds
/// what is said in instructions.cuh.
template <int kRowTiles, int kColumns>
using Fragments = float[kRowTiles][kColumns / 8][4];

/// The first row of this CTA's block that the warp owns.
template <int kRowTiles>
__device__ __forceinline__ int warp_row() {
  return warp() * kMatrixRows * kRowTiles;
}

/// The row within 16 of accumulator c[2·half], c[2·half + 1].
__device__ __forceinline__ int fragment_row(int half) { return lane() / 4 + 8 * half; }
/// The column within 8 of accumulators c[0] and c[2]; c[1] and c[3] are one further.
__device__ __forceinline__ int fragment_column() { return lane() % 4 * 2; }

__device__ __forceinline__ float max_of_four_lanes(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ __forceinline__ float sum_of_four_lanes(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

}  // namespace flashbench::cuda::fragments

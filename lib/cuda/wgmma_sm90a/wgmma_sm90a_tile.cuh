#pragma once

#include "cuda/mma_sm80/mma_sm80_tile.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_layout.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a_products.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_ptx.cuh"

/// What forward and backward of wgmma_sm90a share: tiles that are moved, stages, operands.
namespace flashbench::cuda::wgmma_sm90a {

using mma_sm80::Fragments;
using mma_sm80::QueryBlock;

/// Dynamic shared memory from the first multiple of the swizzle's period.
__device__ __forceinline__ std::uint32_t aligned_shared(const unsigned char* dynamic) {
  return (mma_sm80::shared_address(dynamic) + kSwizzlePeriod - 1) / kSwizzlePeriod * kSwizzlePeriod;
}

/// What is the `count`-th to go through a ring of places that are filled and emptied: its place,
/// and the parity of its filling. One register, where places are a power of two.
template <int kPlaces>
struct Turn {
  std::uint32_t count = 0;

  __device__ __forceinline__ int at() const { return static_cast<int>(count % kPlaces); }
  __device__ __forceinline__ std::uint32_t parity() const { return count / kPlaces % 2; }
  __device__ __forceinline__ Turn before() const { return {count - 1}; }
};

/// Rows first .. first + kRows of a head, d / 64 boxes of them, which count at `barrier`.
template <int kD, int kRows>
__device__ __forceinline__ void load_boxes(std::uint32_t to, const TensorMap& from, int first,
                                           int head, int batch, std::uint32_t barrier) {
#pragma unroll 1
  for (int column = 0; column < kD; column += kBoxColumns)
    load_box(to + inner_step(kRows, column), from, column, first, head, batch, barrier);
}

/// How many tiles of keys a block meets; one, all of it hidden, where it sees nothing.
__device__ __forceinline__ int key_tiles(const Attention& a, const QueryBlock& block,
                                         TileShape tile) {
  const int last_query = min(block.first + tile.rows(), a.q_len) - 1;
  return max(1, (keys(a, block.b, last_query).end + tile.columns - 1) / tile.columns);
}

/// Lane 0 speaks for its warp: it arrives when all lanes are past what they read.
__device__ __forceinline__ void release(std::uint32_t barrier) {
  if (mma_sm80::lane() == 0) arrive(barrier);
}

/// 64 x kColumns numbers of 16 bits, as A operands in the registers of a warpgroup.
template <int kColumns>
using Rounded = std::uint32_t[kColumns / 16][4];

template <typename T, int kColumns>
__device__ __forceinline__ void round(Rounded<kColumns>& to, const Fragments<1, kColumns>& from) {
#pragma unroll
  for (int i = 0; i < kColumns / 16; ++i)
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const float* c = from[0][2 * i + r / 2];
      to[i][r] = mma_sm80::pack<T>(c[r % 2 * 2], c[r % 2 * 2 + 1]);
    }
}

}  // namespace flashbench::cuda::wgmma_sm90a

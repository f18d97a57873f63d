#pragma once

#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/rows.cuh"
#include "cuda/fragments/tile_ranges.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_layout.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a_products.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_ptx.cuh"

/// What forward and backward of wgmma_sm90a share: tiles that are moved, stages, operands.
namespace flashbench::cuda::wgmma_sm90a {

using fragments::Fragments;
using fragments::QueryBlock;

/// Dynamic shared memory from the first multiple of the swizzle's period. By whole warps.
__device__ __forceinline__ std::uint32_t aligned_shared(const unsigned char* dynamic) {
  return uniform((fragments::shared_address(dynamic) + kSwizzlePeriod - 1) / kSwizzlePeriod *
                 kSwizzlePeriod);
}

/// The number of this thread's warpgroup. By whole warps.
__device__ __forceinline__ int warpgroup() {
  return uniform(static_cast<int>(threadIdx.x) / kGroupThreads);
}

/// Where a producer or consumer of a pipeline of kStages stages is: the stage, and the parity of
/// the phase that its mbarriers are in (CUTLASS: PipelineState). It is kept as the number of tiles
/// that went before, one register; stage and parity cost nothing where kStages is a power of two.
template <int kStages>
struct PipelineState {
  std::uint32_t count = 0;

  __device__ __forceinline__ int stage() const { return static_cast<int>(count % kStages); }
  __device__ __forceinline__ std::uint32_t parity() const { return count / kStages % 2; }
  __device__ __forceinline__ PipelineState previous() const { return {count - 1}; }
};

/// Requests kColumns columns, from `first_column` on, of rows first .. first + kRows of a head, in
/// boxes of 64 whose bytes count at `barrier`.
template <int kColumns, int kRows>
__device__ __forceinline__ void load_boxes(std::uint32_t to, const TensorMap& from, int first,
                                           int head, int batch, std::uint32_t barrier,
                                           int first_column = 0) {
#pragma unroll 1
  for (int column = 0; column < kColumns; column += kBoxColumns)
    load_box(to + inner_step(kRows, column), from, first_column + column, first, head, batch,
             barrier);
}

/// The tiles of keys that a block visits, `first` .. first + count; one, all of it hidden, where
/// the block sees nothing.
struct VisitedTiles {
  int first, count;

  __device__ __forceinline__ VisitedTiles(const Attention& a, const QueryBlock& block,
                                          TileShape tile) {
    const fragments::KeyTiles seen(a, block, tile.rows(), tile.columns);
    first = seen.first;
    count = max(1, seen.end - first);
  }
};

/// One arrival for each warp, by its lane 0: the stage behind `barrier` may be filled again.
__device__ __forceinline__ void release(std::uint32_t barrier) {
  if (fragments::lane() == 0) arrive(barrier);
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
      to[i][r] = fragments::pack<T>(c[r % 2 * 2], c[r % 2 * 2 + 1]);
    }
}

}  // namespace flashbench::cuda::wgmma_sm90a

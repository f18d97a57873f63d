#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/fragments/swizzle.h"

/// Tiles of mma_bf16x6_sm80: constexpr code without a CUDA include, as of mma_sm80.
namespace flashbench::cuda::mma_bf16x6_sm80 {

inline constexpr int kHeadDims[] = {32, 64, 96, 128};
inline constexpr int kMaxHeadDim = 128;
inline constexpr int kPartialProducts = 6;  ///< of the nine of two operands in three parts
inline constexpr std::size_t kSharedLimit = 99 * 1024;  ///< compute capability 8.6, 8.9, 12.0

/// The head dimension of the kernel that takes `d`; 0 where there is none.
constexpr int padded_head_dim(int d) {
  for (const int padded : kHeadDims)
    if (d <= padded) return padded;
  return 0;
}

/// One CTA's share: the rows that it keeps against the columns that it streams, two stages of them.
/// A warp owns 16·row_tiles rows: one row tile, since two leave no registers for the parts of both.
struct TileShape {
  int warps, row_tiles, columns;

  FB_HD constexpr int rows() const { return warps * row_tiles * fragments::kMatrixRows; }
  FB_HD constexpr int threads() const { return warps * 32; }
};

constexpr TileShape forward_tile(int d) {
  return d <= 64 ? TileShape{8, 1, 32} : TileShape{4, 1, 32};
}
constexpr TileShape dq_tile(int d) { return d <= 64 ? TileShape{4, 1, 32} : TileShape{4, 1, 16}; }
constexpr TileShape dkdv_tile(int d) { return dq_tile(d); }

/// Tiles hold f32 as it comes. To what moves and swizzles rows of 16-bit elements, a row of d of
/// them is one of twice as many.
inline constexpr int kUnitsOfFloat = 2;
FB_HD constexpr int units(int d) { return kUnitsOfFloat * d; }

constexpr std::size_t tile_bytes(int d, int rows) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(d) * sizeof(float);
}

/// Q, and two stages of K and V.
constexpr std::size_t forward_shared_bytes(int d) {
  const TileShape t = forward_tile(d);
  return tile_bytes(d, t.rows()) + 4 * tile_bytes(d, t.columns);
}
/// Q and dO, and two stages of K and V.
constexpr std::size_t dq_shared_bytes(int d) {
  const TileShape t = dq_tile(d);
  return 2 * tile_bytes(d, t.rows()) + 4 * tile_bytes(d, t.columns);
}
/// K and V; two stages of Q, dO and each row's maximum, sum and D.
constexpr std::size_t dkdv_shared_bytes(int d) {
  const TileShape t = dkdv_tile(d);
  return 2 * tile_bytes(d, t.rows()) + 4 * tile_bytes(d, t.columns) +
         6 * static_cast<std::size_t>(t.columns) * sizeof(float);
}

constexpr bool fits(int d) {
  return forward_shared_bytes(d) <= kSharedLimit && dq_shared_bytes(d) <= kSharedLimit &&
         dkdv_shared_bytes(d) <= kSharedLimit;
}
static_assert(fits(32) && fits(64) && fits(96) && fits(128));

}  // namespace flashbench::cuda::mma_bf16x6_sm80

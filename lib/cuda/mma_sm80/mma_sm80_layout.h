#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/fragments/swizzle.h"

/// Tiles of mma_sm80: constexpr code without a CUDA include, so that the host launches with the
/// numbers that the kernels were compiled with, and proves them.
namespace flashbench::cuda::mma_sm80 {

inline constexpr int kHeadDims[] = {32, 64, 96, 128, 192, 256, 384, 512};
inline constexpr int kMaxHeadDim = 512;
inline constexpr int kMaxWholeDim = 256;                ///< up to here a warp has all of d
inline constexpr int kSplitThreads = 256;               ///< of the kernels beyond
inline constexpr int kDeltaThreads = 256;               ///< of the kernel for D, a warp per query
inline constexpr std::size_t kSharedLimit = 99 * 1024;  ///< compute capability 8.6, 8.9, 12.0

/// The head dimension of the kernel that takes `d`; 0 where there is none.
constexpr int padded_head_dim(int d) {
  for (const int padded : kHeadDims)
    if (d <= padded) return padded;
  return 0;
}

/// One CTA's share: the rows that it keeps (queries, or keys for dK and dV) against the columns
/// that it streams, two stages of them. A warp owns 16·row_tiles rows and, of the sums of d
/// columns, one of `parts` equal parts.
struct TileShape {
  int warps, row_tiles, columns, parts = 1;

  FB_HD constexpr int row_warps() const { return warps / parts; }
  FB_HD constexpr int rows() const { return row_warps() * row_tiles * fragments::kMatrixRows; }
  FB_HD constexpr int threads() const { return warps * 32; }
};

// Two row tiles a warp use every B fragment twice: one ldmatrix.x4 (512 bytes, 4 cycles of shared
// memory) then feeds 16 KFLOP (8 cycles of an A100's tensor cores). With one row tile the two are
// level, so d = 192 and 256, whose accumulators leave no room for two, are bound by shared memory.
constexpr TileShape forward_tile(int d) {
  if (d <= 96) return {4, 2, 64};
  if (d <= 128) return {4, 2, 48};
  if (d <= kMaxWholeDim) return d <= 192 ? TileShape{8, 1, 32} : TileShape{4, 1, 32};
  return {kSplitThreads / 32, 1, 16, 2};
}

constexpr TileShape dq_tile(int d) {
  if (d > kMaxWholeDim) return {kSplitThreads / 32, 1, 16, 4};
  return d <= 128 ? TileShape{4, 2, 32} : d <= 192 ? TileShape{4, 1, 32} : TileShape{4, 1, 16};
}

/// Which gradients one launch of the K/V kernel computes: beyond d = 128 the accumulators of both
/// do not fit into registers, until from d = 257 on four warps share them.
enum class KvGradient { kBoth, kKeys, kValues };

constexpr TileShape dkdv_tile(int d, KvGradient what) {
  if (d <= 64) return {4, 2, 32};
  if (d <= 128) return {8, 1, 32};
  if (d > kMaxWholeDim) return {kSplitThreads / 32, 1, 16, 4};
  return d <= 192 || what == KvGradient::kValues ? TileShape{4, 1, 32} : TileShape{4, 1, 16};
}

constexpr std::size_t tile_bytes(int d, int rows) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(d) * 2;
}

/// Partial scores of 16 x 16 pairs that a warp hands to those with other parts of d.
inline constexpr std::size_t kPartialBytes = 16 * 16 * sizeof(float);

/// Beyond kMaxWholeDim: two stages of two tensors, whose place the rows that are kept pass through
/// on their way into registers, and partial scores.
constexpr std::size_t split_shared_bytes(int d, TileShape t) {
  return 4 * tile_bytes(d, t.columns) + static_cast<std::size_t>(t.warps) * kPartialBytes;
}

/// Q, and two stages of K and V.
constexpr std::size_t forward_shared_bytes(int d) {
  const TileShape t = forward_tile(d);
  if (t.parts > 1) return split_shared_bytes(d, t);
  return tile_bytes(d, t.rows()) + 4 * tile_bytes(d, t.columns);
}

/// Q and dO, and two stages of K and V.
constexpr std::size_t dq_shared_bytes(int d) {
  const TileShape t = dq_tile(d);
  if (t.parts > 1) return split_shared_bytes(d, t);
  return 2 * tile_bytes(d, t.rows()) + 4 * tile_bytes(d, t.columns);
}

/// K and, unless only dV is asked for, V; two stages of Q, dO and, as f32, each
/// row's maximum, sum and D.
constexpr std::size_t dkdv_shared_bytes(int d, KvGradient what) {
  const TileShape t = dkdv_tile(d, what);
  const std::size_t row_values = 6 * static_cast<std::size_t>(t.columns) * sizeof(float);
  if (t.parts > 1) return split_shared_bytes(d, t) + row_values;
  const std::size_t resident = what == KvGradient::kValues ? 1 : 2;
  return resident * tile_bytes(d, t.rows()) + 4 * tile_bytes(d, t.columns) + row_values;
}

/// Whether dK and dV come from one launch; two where their accumulators do not fit side by side.
constexpr bool joint_dkdv(int d) { return d <= 128 || d > kMaxWholeDim; }

/// Before these, where the batch is ragged, a CTA's sequence; what follows is aligned to 128.
inline constexpr std::size_t kSequenceBytes = 128;

constexpr bool fits(int d) {
  constexpr std::size_t kMost = kSharedLimit - kSequenceBytes;
  if (forward_shared_bytes(d) > kMost || dq_shared_bytes(d) > kMost) return false;
  return joint_dkdv(d) ? dkdv_shared_bytes(d, KvGradient::kBoth) <= kMost
                       : dkdv_shared_bytes(d, KvGradient::kKeys) <= kMost &&
                             dkdv_shared_bytes(d, KvGradient::kValues) <= kMost;
}

static_assert(fits(32) && fits(64) && fits(96) && fits(128) && fits(192) && fits(256) &&
              fits(384) && fits(512));

}  // namespace flashbench::cuda::mma_sm80

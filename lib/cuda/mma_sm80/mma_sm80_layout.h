#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/contract/arguments.h"

/// Tiles of mma_sm80 and how they lie in shared memory: constexpr code without a CUDA include, so
/// that the host launches with the numbers that the kernels were compiled with, and proves them.
namespace flashbench::cuda::mma_sm80 {

inline constexpr int kHeadDims[] = {32, 64, 96, 128, 192, 256};
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kChunk = 8;           ///< 16-bit elements in the 16 bytes of a copy
inline constexpr int kDeltaThreads = 256;  ///< of the kernel for D, a warp per query
inline constexpr int kMatrixRows = 16;     ///< rows of one mma.sync
inline constexpr std::size_t kSharedLimit = 99 * 1024;  ///< compute capability 8.6, 8.9, 12.0

/// The head dimension of the kernel that takes `d`; 0 where there is none.
constexpr int padded_head_dim(int d) {
  for (const int padded : kHeadDims)
    if (d <= padded) return padded;
  return 0;
}

/// Where 16-byte chunk `chunk` of row `row` lies in a tile of rows of `d` elements, in bytes.
/// ldmatrix reads one chunk of eight consecutive rows at once; the XOR spreads these over all 32
/// banks. Rows of 64·n elements start at the same bank, so the row number's low three bits permute
/// eight chunks; rows of 32 and 96 elements alternate between two banks' halves, so that
/// two bits, every other row, do it.
FB_HD constexpr std::uint32_t swizzled(int d, std::uint32_t row, std::uint32_t chunk) {
  const std::uint32_t permute = d % 64 == 0 ? row & 7u : (row >> 1) & 3u;
  return row * static_cast<std::uint32_t>(2 * d) + ((chunk ^ permute) << 4);
}

/// Chunks whose numbers the XOR permutes among themselves.
FB_HD constexpr std::uint32_t swizzle_group(int d) { return d % 64 == 0 ? 8 : 4; }

/// The address `chunks` (even) further in the same row, from that of chunk 0 or 1: one XOR with a
/// constant, so that a thread keeps one address per operand. Tiles start at multiples of 128.
FB_HD constexpr std::uint32_t advanced(int d, std::uint32_t address, std::uint32_t chunks) {
  const std::uint32_t group = swizzle_group(d);
  return (address ^ (chunks % group << 4)) + chunks / group * group * 16;
}

constexpr bool advances_along_rows(int d) {
  for (std::uint32_t row = 0; row < 16; ++row)
    for (std::uint32_t chunk = 0; chunk < static_cast<std::uint32_t>(d / kChunk); ++chunk)
      if (swizzled(d, row, chunk) != advanced(d, swizzled(d, row, chunk % 2), chunk - chunk % 2))
        return false;
  return true;
}

/// Eight chunks of 16 bytes that are read in one go lie in eight different groups of four banks.
constexpr bool is_free_of_conflicts(int d) {
  for (std::uint32_t row = 0; row < 16; row += 8)
    for (std::uint32_t chunk = 0; chunk < static_cast<std::uint32_t>(d / kChunk); ++chunk) {
      std::uint32_t groups = 0;
      for (std::uint32_t r = 0; r < 8; ++r) groups |= 1u << (swizzled(d, row + r, chunk) / 16 % 8);
      if (groups != 0xffu) return false;
    }
  return true;
}

/// Every chunk of a row has a place of its own within the row.
constexpr bool is_permutation(int d) {
  for (std::uint32_t row = 0; row < 16; ++row) {
    std::uint32_t places = 0;
    for (std::uint32_t chunk = 0; chunk < static_cast<std::uint32_t>(d / kChunk); ++chunk) {
      const std::uint32_t place =
          swizzled(d, row, chunk) / 16 - row * static_cast<std::uint32_t>(d) / 8;
      if (place >= static_cast<std::uint32_t>(d / kChunk)) return false;
      places |= 1u << place;
    }
    if (d < 256 ? places != (1u << (d / kChunk)) - 1u : places != 0xffffffffu) return false;
  }
  return true;
}

/// One CTA's share: the rows that it keeps (queries, or keys for dK and dV) against the columns
/// that it streams, two stages of them. A warp owns 16·row_tiles rows.
struct TileShape {
  int warps, row_tiles, columns;

  FB_HD constexpr int rows() const { return warps * row_tiles * kMatrixRows; }
  FB_HD constexpr int threads() const { return warps * 32; }
};

// Two row tiles a warp use every B fragment twice: one ldmatrix.x4 (512 bytes, 4 cycles of shared
// memory) then feeds 16 KFLOP (8 cycles of an A100's tensor cores). With one row tile the two are
// level, so d = 192 and 256, whose accumulators leave no room for two, are bound by shared memory.
constexpr TileShape forward_tile(int d) {
  if (d <= 96) return {4, 2, 64};
  if (d <= 128) return {4, 2, 48};
  return d <= 192 ? TileShape{8, 1, 32} : TileShape{4, 1, 32};
}

constexpr TileShape dq_tile(int d) {
  return d <= 128 ? TileShape{4, 2, 32} : d <= 192 ? TileShape{4, 1, 32} : TileShape{4, 1, 16};
}

/// Which gradients one launch of the K/V kernel computes: beyond d = 128 the accumulators of both
/// do not fit into registers.
enum class KvGradient { kBoth, kKeys, kValues };

constexpr TileShape dkdv_tile(int d, KvGradient what) {
  if (d <= 64) return {4, 2, 32};
  if (d <= 128) return {8, 1, 32};
  return d <= 192 || what == KvGradient::kValues ? TileShape{4, 1, 32} : TileShape{4, 1, 16};
}

constexpr std::size_t tile_bytes(int d, int rows) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(d) * 2;
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

/// K and, unless only dV is asked for, V; two stages of Q, dO and, as f32, LSE and D.
constexpr std::size_t dkdv_shared_bytes(int d, KvGradient what) {
  const TileShape t = dkdv_tile(d, what);
  const std::size_t resident = what == KvGradient::kValues ? 1 : 2;
  return resident * tile_bytes(d, t.rows()) + 4 * tile_bytes(d, t.columns) +
         4 * static_cast<std::size_t>(t.columns) * sizeof(float);
}

/// Whether dK and dV come from one launch; two where their accumulators do not fit side by side.
constexpr bool joint_dkdv(int d) { return d <= 128; }

constexpr bool fits(int d) {
  if (forward_shared_bytes(d) > kSharedLimit || dq_shared_bytes(d) > kSharedLimit) return false;
  return joint_dkdv(d) ? dkdv_shared_bytes(d, KvGradient::kBoth) <= kSharedLimit
                       : dkdv_shared_bytes(d, KvGradient::kKeys) <= kSharedLimit &&
                             dkdv_shared_bytes(d, KvGradient::kValues) <= kSharedLimit;
}

constexpr bool is_sound(int d) {
  return is_free_of_conflicts(d) && is_permutation(d) && advances_along_rows(d) && fits(d);
}
static_assert(is_sound(32) && is_sound(64) && is_sound(96) && is_sound(128) && is_sound(192) &&
              is_sound(256));

}  // namespace flashbench::cuda::mma_sm80

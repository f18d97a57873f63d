#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/fragments/swizzle.h"

/// Steps, rings and shares of decode_sm80: constexpr code without a CUDA include, so that the host
/// launches with the numbers that the kernels were compiled with, and proves them.
namespace flashbench::cuda::decode_sm80 {

inline constexpr int kHeadDims[] = {32, 64, 96, 128, 192, 256};
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kRows = fragments::kMatrixRows;  ///< query rows of one mma.sync
inline constexpr int kMostRows = 512;                 ///< that a K/V head may meet
inline constexpr int kMostBlocks = kMostRows / kRows;
static_assert(kMostBlocks <= 32, "a warp looks at all blocks of a head at once, a lane a block");
inline constexpr int kMostWarps = 8;
inline constexpr int kFewestWarps = 2;

/// The head dimension of the kernel that takes `d`; 0 where there is none.
constexpr int padded_head_dim(int d) {
  for (const int padded : kHeadDims)
    if (d <= padded) return padded;
  return 0;
}

/// kOne: the query rows of a K/V head are one block, of at most 16. kMany: there are blocks of
/// them, each with a range of keys of its own.
enum class Blocks { kOne, kMany };

/// What a warp multiplies by a step of keys: a block of query rows. A kernel is compiled for one.
struct Tile {
  int d;  ///< padded
  int row_tiles = 1;
  Blocks blocks = Blocks::kOne;

  constexpr int rows() const { return kRows * row_tiles; }
};

/// The tile for so many query rows a K/V head. O of a row tile is d / 2 registers a thread: two row
/// tiles have 128 of them, or less. (Four, or three, at d <= 64 leave only 16 keys a step registers
/// for their scores: more instructions for fewer bytes.)
constexpr Tile tile_of(int padded_d, std::int64_t rows) {
  if (rows <= kRows) return {padded_d};
  return {padded_d, padded_d <= 128 ? 2 : 1, Blocks::kMany};
}

/// Blocks that these query rows of a K/V head are.
constexpr std::int64_t blocks_of(const Tile& tile, std::int64_t rows) {
  return (rows + tile.rows() - 1) / tile.rows();
}

/// What a warp takes at once, K and V of `keys` keys, and how many of these its ring holds.
struct Ring {
  int keys, stages;
};

// One row tile: 24 KB a warp (32 at d = 256): eight of them, 192 KB, all on their way when a warp
// waits, are what a multiprocessor of 9.0 holds. Some 30 KB would do if memory answered in 0.8 us.
// Two multiply for longer than they wait: 12 to 16 KB, so that 99 KB hold more warps.
constexpr Ring ring(const Tile& tile) {
  if (tile.row_tiles == 1) {
    if (tile.d <= 32) return {32, 6};
    if (tile.d <= 64) return {32, 3};
    if (tile.d <= 96) return {16, 4};
    return tile.d <= 128 ? Ring{16, 3} : Ring{16, 2};
  }
  if (tile.d <= 32) return {32, 3};
  return tile.d <= 64 ? Ring{32, 2} : Ring{16, 2};
}

/// Of K and V of a step. As much as kRows rows of O in f32, or more: a stage that was multiplied
/// holds the warp's O of a row tile where a block ends.
constexpr std::size_t stage_bytes(const Tile& tile) {
  return static_cast<std::size_t>(ring(tile).keys) * static_cast<std::size_t>(tile.d) * 4;
}

constexpr std::size_t ring_bytes(const Tile& tile) {
  return static_cast<std::size_t>(ring(tile).stages) * stage_bytes(tile);
}

/// What the warps of a CTA tell each other of a row tile where a block ends.
struct RowState {
  float max;  ///< of the scores, before scaling; -inf: no key
  float sum;  ///< of the exponentials
};
struct WarpState {
  RowState rows[kRows];
};

constexpr std::size_t query_bytes(const Tile& tile) {
  return static_cast<std::size_t>(tile.rows() * tile.d) * 2;
}

/// The rings, Q, the warps' states, where each of them put its O, and one word.
constexpr std::size_t shared_bytes(const Tile& tile, int warps) {
  return query_bytes(tile) +
         static_cast<std::size_t>(warps) *
             (ring_bytes(tile) + sizeof(WarpState) + sizeof(std::uint32_t)) +
         sizeof(std::uint32_t);
}

/// As many warps, each with its ring, as a CTA of a device may have shared memory for.
constexpr int warps(const Tile& tile, std::size_t shared_limit) {
  for (int n = kMostWarps; n > kFewestWarps; --n)
    if (shared_bytes(tile, n) <= shared_limit) return n;
  return kFewestWarps;
}

constexpr std::size_t part_state_bytes(const Tile& tile) {
  return static_cast<std::size_t>(tile.rows()) * sizeof(RowState);
}

/// What a CTA leaves of a block that others have keys of, too: what its rows were scaled by, and O
/// before its division, f32.
constexpr std::size_t part_bytes(const Tile& tile) {
  return part_state_bytes(tile) +
         static_cast<std::size_t>(tile.rows()) * static_cast<std::size_t>(tile.d) * 4;
}

/// Parts that a CTA may leave: of the block that its share begins with and of the one it ends with.
inline constexpr int kPartsOfCta = 2;

/// In the workspace the parts follow a counter for each block of each head.
FB_HD constexpr std::size_t counters_bytes(std::int64_t blocks) {
  return (static_cast<std::size_t>(blocks) * sizeof(std::uint32_t) + 127) / 128 * 128;
}

/// So much is there on every device for every number of rows.
constexpr std::size_t least_shared_bytes(int padded_d) {
  std::size_t least = 0;
  for (const int rows : {kRows, kMostRows}) {
    const std::size_t bytes = shared_bytes(tile_of(padded_d, rows), kFewestWarps);
    if (bytes > least) least = bytes;
  }
  return least;
}

constexpr bool fits(int d) {
  for (const int rows : {kRows, kMostRows}) {
    const Tile tile = tile_of(d, rows);
    if (stage_bytes(tile) < static_cast<std::size_t>(kRows * d) * 4 || ring(tile).keys % 16 != 0 ||
        stage_bytes(tile) % 1024 != 0)
      return false;
  }
  return least_shared_bytes(d) <= 99 * 1024;
}
static_assert(fits(32) && fits(64) && fits(96) && fits(128) && fits(192) && fits(256));

}  // namespace flashbench::cuda::decode_sm80

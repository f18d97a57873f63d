#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/fragments/swizzle.h"

/// Steps, rings and shares of decode_sm80: constexpr code without a CUDA include, so that the host
/// launches with the numbers that the kernels were compiled with, and proves them.
namespace flashbench::cuda::decode_sm80 {

inline constexpr int kHeadDims[] = {32, 64, 96, 128, 192, 256};
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kRows = fragments::kMatrixRows;  ///< query rows of a tile: one mma.sync's
inline constexpr int kMostWarps = 8;
inline constexpr int kFewestWarps = 2;

/// The head dimension of the kernel that takes `d`; 0 where there is none.
constexpr int padded_head_dim(int d) {
  for (const int padded : kHeadDims)
    if (d <= padded) return padded;
  return 0;
}

/// What a warp takes at once, K and V of `keys` keys, and how many of these its ring holds.
struct Ring {
  int keys, stages;
};

// 24 KB a warp (32 at d = 256): eight of them, 192 KB, all on their way when a warp waits, are what
// a multiprocessor of 9.0 holds. Some 30 KB would do if memory answered in 0.8 us.
constexpr Ring ring(int d) {
  if (d <= 32) return {32, 6};
  if (d <= 64) return {32, 3};
  if (d <= 96) return {16, 4};
  return d <= 128 ? Ring{16, 3} : Ring{16, 2};
}

/// Of K and V of a step. As much as kRows rows of O in f32, or more: a stage that was multiplied
/// holds the warp's O where a head ends.
constexpr std::size_t stage_bytes(int d) {
  return static_cast<std::size_t>(ring(d).keys) * static_cast<std::size_t>(d) * 4;
}

constexpr std::size_t ring_bytes(int d) {
  return static_cast<std::size_t>(ring(d).stages) * stage_bytes(d);
}

/// What the warps of a CTA tell each other where a head ends.
struct RowState {
  float max;  ///< of the scores, before scaling; -inf: no key
  float sum;  ///< of the exponentials
};
struct WarpState {
  RowState rows[kRows];
};

constexpr std::size_t query_bytes(int d) { return static_cast<std::size_t>(kRows * d) * 2; }

/// The rings, Q, the warps' states, where each of them put its O, and one word.
constexpr std::size_t shared_bytes(int d, int warps) {
  return query_bytes(d) +
         static_cast<std::size_t>(warps) *
             (ring_bytes(d) + sizeof(WarpState) + sizeof(std::uint32_t)) +
         sizeof(std::uint32_t);
}

/// As many warps, each with its ring, as a block of a device may have shared memory for.
constexpr int warps(int d, std::size_t shared_limit) {
  for (int n = kMostWarps; n > kFewestWarps; --n)
    if (shared_bytes(d, n) <= shared_limit) return n;
  return kFewestWarps;
}

/// What a CTA leaves of a head that others have keys of, too: O before its division, f32, and what
/// its rows were scaled by.
constexpr std::size_t part_bytes(int d) {
  return sizeof(WarpState) + static_cast<std::size_t>(kRows) * static_cast<std::size_t>(d) * 4;
}

/// Parts that a CTA may leave: of the head that its share begins with and of the one it ends with.
inline constexpr int kPartsOfCta = 2;

/// In the workspace the parts follow a counter for each head.
FB_HD constexpr std::size_t counters_bytes(std::int64_t heads) {
  return (static_cast<std::size_t>(heads) * sizeof(std::uint32_t) + 127) / 128 * 128;
}

constexpr bool fits(int d) {
  return stage_bytes(d) >= static_cast<std::size_t>(kRows * d) * 4 && ring(d).keys % 16 == 0 &&
         stage_bytes(d) % 1024 == 0 && shared_bytes(d, kFewestWarps) <= 99 * 1024;
}
static_assert(fits(32) && fits(64) && fits(96) && fits(128) && fits(192) && fits(256));

}  // namespace flashbench::cuda::decode_sm80

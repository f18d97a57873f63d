#pragma once

#include <cstdint>

#include "cuda/contract/arguments.h"

/// How a tile of 16-bit rows lies in shared memory: constexpr code without a CUDA include, which
/// the host's compiler proves.
namespace flashbench::cuda::fragments {

inline constexpr int kChunk = 8;        ///< 16-bit elements in the 16 bytes of a copy
inline constexpr int kMatrixRows = 16;  ///< rows of one mma.sync

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

constexpr bool swizzle_is_sound(int d) {
  return is_free_of_conflicts(d) && is_permutation(d) && advances_along_rows(d);
}
static_assert(swizzle_is_sound(32) && swizzle_is_sound(64) && swizzle_is_sound(96) &&
              swizzle_is_sound(128) && swizzle_is_sound(192) && swizzle_is_sound(256));

}  // namespace flashbench::cuda::fragments

#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "ptx/machine/tensor_map.h"

// Where wgmma finds a matrix of 16-bit elements in shared memory: PTX ISA 9.7.15.5.1.
namespace flashbench::ptx {

/// The matrix's first axis is M or N; along k an instruction takes 16 elements.
enum class Major : std::uint8_t {
  kK,     ///< elements of a row lie side by side
  kRows,  ///< those of a column do ("transposed")
};

/// A descriptor's fields, in bytes.
struct MatrixDescriptor {
  std::uint32_t start = 0, leading = 0, stride = 0;
  std::uint32_t base_offset = 0;
  Swizzle swizzle = Swizzle::kNone;
};

MatrixDescriptor decode_descriptor(std::uint64_t bits);

/// The bytes in which chunks change places, and after how many the pattern repeats: 128 and 1024.
constexpr std::uint32_t span_of(Swizzle s) { return 16u << static_cast<int>(s); }
constexpr std::uint32_t period_of(Swizzle s) { return 8 * span_of(s); }

/// Why a product of `rows` (M or N) x 16 would not find what a tile's writer put there: the tile
/// does not begin where the pattern does. Chunks change places by bits of the address, so that a
/// tile begins at a multiple of the period; a descriptor may then go on by whole periods, or along
/// a row inside its first span: in steps of an instruction's 16 elements along k (32 bytes).
/// nullopt where nothing is wrong; always without a swizzle.
std::optional<std::string> misaligned(const MatrixDescriptor& d, std::uint32_t rows, Major major);

/// Calls f(shared offset, row, k) for the 16-byte chunks of rows [first, first + rows) x 16. A
/// chunk runs along k, or along rows.
template <class F>
void for_chunks(const MatrixDescriptor& d, std::uint32_t first, std::uint32_t rows, Major major,
                F f) {
  const std::uint32_t span = span_of(d.swizzle);
  const bool swizzles = d.swizzle != Swizzle::kNone;
  if (major == Major::kK) {
    const std::uint32_t next = swizzles ? 16 : d.leading;  // chunk along k
    for (std::uint32_t r = first; r < first + rows; ++r)
      for (std::uint32_t k = 0; k < 16; k += 8)
        f(swizzled(d.start + r / 8 * d.stride + r % 8 * span + k / 8 * next, d.swizzle), r, k);
    return;
  }
  // Without a swizzle the two distances change roles.
  const std::uint32_t along_rows = swizzles ? d.leading : d.stride;
  const std::uint32_t along_k = swizzles ? d.stride : d.leading;
  const std::uint32_t wide = span / 2;
  for (std::uint32_t k = 0; k < 16; ++k)
    for (std::uint32_t r = first; r < first + rows; r += 8)
      f(swizzled(d.start + r / wide * along_rows + k / 8 * along_k + k % 8 * span + r % wide * 2,
                 d.swizzle),
        r, k);
}

}  // namespace flashbench::ptx

#include "ptx/opcodes/matrix_descriptor.h"

#include <fmt/format.h>

#include <array>

#include "ptx/machine/kernel.h"

namespace flashbench::ptx {

MatrixDescriptor decode_descriptor(std::uint64_t bits) {
  constexpr std::array kSwizzles = {Swizzle::kNone, Swizzle::k128, Swizzle::k64, Swizzle::k32};
  const auto field = [&](int shift) {
    return static_cast<std::uint32_t>(bits >> shift & 0x3FFF) << 4;
  };
  return {field(0), field(16), field(32), static_cast<std::uint32_t>(bits >> 49 & 7),
          kSwizzles[bits >> 62]};
}

std::optional<std::string> misaligned(const MatrixDescriptor& d, std::uint32_t rows, Major major) {
  if (d.swizzle == Swizzle::kNone) return std::nullopt;
  const std::uint32_t span = span_of(d.swizzle), period = period_of(d.swizzle);
  const std::uint32_t in_span = d.start % span;
  const std::uint32_t taken = major == Major::kK ? 32 : std::min(2 * rows, span);
  const bool steps = major == Major::kRows || in_span % 32 == 0;
  if (d.start % period < span && steps && in_span + taken <= span) return std::nullopt;
  return fmt::format(
      "a descriptor with the {}-byte swizzle at shared offset {}: its tile must be aligned to {} "
      "bytes",
      span, static_cast<std::int64_t>(d.start) - kSharedBase, period);
}

}  // namespace flashbench::ptx

#include "cpu/flushed_pairs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/dtype.h"

namespace flashbench::cpu {

bool pairs_lose(const RowSource& q, std::int64_t rows, std::int64_t d, double scale) {
  constexpr std::uint16_t kSmallestNormal = 0x0080, kMagnitude = 0x7fff;
  std::uint16_t largest = 0;
  bool subnormal = false;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto* const row = static_cast<const Bf16*>(q.base) + r * q.row_stride;
    for (std::int64_t c = 0; c < d; ++c) {
      const auto size = static_cast<std::uint16_t>(row[c].bits & kMagnitude);
      largest = std::max(largest, size);
      subnormal |= size != 0 && size < kSmallestNormal;
    }
  }
  // The largest that d subnormal numbers in K may give to a score, next to f32's roundoff of 1.
  constexpr double kSubnormal = std::numeric_limits<float>::min();
  const double in_k =
      kSubnormal * static_cast<double>(to_f32(Bf16{largest})) * static_cast<double>(d);
  return subnormal || in_k * std::abs(scale) > 0x1p-26;
}

}  // namespace flashbench::cpu

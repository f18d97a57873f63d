#include "core/work.h"

#include <algorithm>

#include "core/visibility.h"

namespace flashbench {

VisibleCount count_visible(const Problem& p, std::span<const std::uint8_t> key_mask) {
  const Shape& s = p.shape;
  VisibleCount total;
  for (const Visibility& sees : visibilities(key_mask, p)) {
    double pairs = 0, keys = 0;
    std::int32_t counted = 0;  // neither end of a range falls: keys before this one are counted
    for (std::int64_t q = 0; q < s.q_len; ++q) {
      const KeyRange range = sees.keys(q);
      pairs += range.size();
      keys += std::max(0, range.end - std::max(range.begin, counted));
      counted = std::max(counted, range.end);
    }
    total.pairs += pairs * static_cast<double>(s.h);
    total.kv_rows += keys * static_cast<double>(s.h_kv);
  }
  return total;
}

VisibleCount expected_visible(const Problem& p) {
  VisibleCount all = count_visible(p, {});
  const double keep = p.padding == PaddingMask::kRandom ? p.mask_keep : 1.0;
  return {all.pairs * keep, all.kv_rows * keep};
}

Work count_work(const Problem& p, const VisibleCount& visible) {
  const Shape& s = p.shape;
  const double d = static_cast<double>(s.d);
  const double q_rows = static_cast<double>(s.b * s.h * s.q_len);
  const double dense_pairs = q_rows * static_cast<double>(s.kv_len);
  const double element = static_cast<double>(size_bytes(p.dtype));
  const double q_bytes = q_rows * d * element;            // Q, O, dO or dQ
  const double kv_bytes = visible.kv_rows * d * element;  // K, V, dK or dV
  const double lse_bytes = q_rows * 4.0;
  const double forward = 2 * q_bytes + 2 * kv_bytes + lse_bytes;
  const double backward = 4 * q_bytes + 4 * kv_bytes + lse_bytes;

  Work w;
  w.flop_dense = flop_per_pair_dim(p.pass) * dense_pairs * d;
  w.flop_visible = flop_per_pair_dim(p.pass) * visible.pairs * d;
  w.bytes = p.pass == Pass::kForward    ? forward
            : p.pass == Pass::kBackward ? backward
                                        : forward + backward;
  return w;
}

std::size_t operand_bytes(const Problem& p) {
  const Shape& s = p.shape;
  const auto q = static_cast<std::size_t>(s.q_dims().count()) * size_bytes(p.dtype);
  const auto kv = static_cast<std::size_t>(s.kv_dims().count()) * size_bytes(p.dtype);
  const auto lse = static_cast<std::size_t>(s.lse_dims().count()) * sizeof(float);
  const std::size_t mask =
      p.padding == PaddingMask::kNone ? 0 : static_cast<std::size_t>(s.b * s.kv_len);
  const std::size_t forward = 2 * q + 2 * kv + lse + mask;
  return p.needs_gradients() ? forward + 2 * q + 2 * kv : forward;
}

}  // namespace flashbench

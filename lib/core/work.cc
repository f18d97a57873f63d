#include "core/work.h"

#include "core/mask.h"

namespace flashbench {

Visible count_visible(const Problem& p, std::span<const std::uint8_t> key_mask) {
  const Shape& s = p.shape;
  Visible total;
  for (const Visibility& sees : visibilities(key_mask, p.causal, s.b, s.q_len, s.kv_len)) {
    double pairs = 0;
    for (std::int64_t q = 0; q < s.q_len; ++q) pairs += static_cast<double>(sees.visible(q));
    total.pairs += pairs * static_cast<double>(s.h);
    // The last query sees the most, causal or not.
    total.kv_rows += static_cast<double>(sees.visible(s.q_len - 1) * s.h_kv);
  }
  return total;
}

Visible expected_visible(const Problem& p) {
  Visible all = count_visible(p, {});
  const double keep = p.padding == PaddingMask::kRandom ? p.mask_keep : 1.0;
  return {all.pairs * keep, all.kv_rows * keep};
}

Work count_work(const Problem& p, const Visible& visible) {
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

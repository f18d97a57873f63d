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
  const double q_rows = static_cast<double>(s.b * s.h * s.q_len);
  const double dense_pairs = q_rows * static_cast<double>(s.kv_len);
  const double dims = static_cast<double>(s.d + s.d_v());
  const double q_and_o = q_rows * dims * static_cast<double>(size_bytes(p.dtype));
  const double k_and_v = visible.kv_rows * dims * static_cast<double>(size_bytes(p.kv_dtype()));
  const double lse_bytes = q_rows * 4.0;
  const double forward = q_and_o + k_and_v + lse_bytes;
  const double backward = 2 * q_and_o + 2 * k_and_v + lse_bytes;  // and dQ, dO, dK, dV

  Work w;
  w.flop_dense = flop_per_pair(p.pass, s) * dense_pairs;
  w.flop_visible = flop_per_pair(p.pass, s) * visible.pairs;
  w.bytes = of_pass(p.pass, forward, backward);
  return w;
}

TensorBytes tensor_bytes(const Problem& p) {
  const Shape& s = p.shape;
  const auto bytes = [](const Dims& dims, Dtype t) {
    return static_cast<std::size_t>(dims.count()) * size_bytes(t);
  };
  return {bytes(s.q_dims(), p.dtype), bytes(s.k_dims(), p.kv_dtype()),
          bytes(s.v_dims(), p.kv_dtype()), bytes(s.o_dims(), p.dtype),
          bytes(s.lse_dims(), Dtype::kF32)};
}

OperandBytes operand_bytes(const Problem& p) {
  const TensorBytes t = tensor_bytes(p);
  const std::size_t mask =
      p.padding == PaddingMask::kNone ? 0 : static_cast<std::size_t>(p.shape.b * p.shape.kv_len);
  OperandBytes all = {t.q + t.k + t.v + mask, t.o + t.lse};
  if (p.needs_gradients()) {
    all.inputs += t.o;  // dO
    all.outputs += t.q + t.k + t.v;
  }
  return all;
}

}  // namespace flashbench

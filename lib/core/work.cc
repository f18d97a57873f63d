#include "core/work.h"

#include <algorithm>

#include "core/visibility.h"

namespace flashbench {

namespace {

VisibleCount count_unpadded(const Problem& p) {
  const Shape& s = p.shape;
  VisibleCount total;
  const std::int64_t different = s.sequences == nullptr ? 1 : s.b;
  const double alike = static_cast<double>(s.b / different);
  for (std::int64_t b = 0; b < different; ++b) {
    const Visible visible = visible_of(p, b);
    // The keys of a query begin at the latest where those of the one before it end: no gap is left.
    const std::int32_t keys = visible.q_len == 0 ? 0 : visible.keys(0, visible.q_len).size();
    total.pairs += alike * static_cast<double>(s.h) * static_cast<double>(visible.pairs());
    total.kv_rows += alike * static_cast<double>(s.h_kv) * static_cast<double>(std::max(keys, 0));
  }
  return total;
}

std::size_t sink_bytes(const Problem& p) {
  return p.sinks == Sinks::kNone ? 0 : static_cast<std::size_t>(p.shape.h) * sizeof(float);
}
std::size_t slope_bytes(const Problem& p) {
  return p.alibi == Alibi::kNone ? 0
                                 : static_cast<std::size_t>(p.shape.b * p.shape.h) * sizeof(float);
}

std::size_t descale_bytes(const Problem& p) {
  const auto heads = static_cast<std::size_t>(p.shape.b * p.shape.h_kv);
  const std::size_t a_head = p.v_in_k ? 1 : 2;
  return p.has_descales() ? a_head * heads * sizeof(float) : 0;
}

/// Of a key and its value together.
std::int64_t stored_columns(const Problem& p) { return p.shape.d + (p.v_in_k ? 0 : p.shape.d_v()); }

/// The pool of K and V beside the tensors, and its table.
std::size_t page_table_bytes(const Problem& p) {
  if (!p.paged()) return 0;
  std::size_t pages = 0;
  for (std::int64_t b = 0; b < p.shape.b; ++b) pages += static_cast<std::size_t>(pages_of(p, b));
  return pages * sizeof(std::int32_t);
}
std::size_t pool_bytes(const Problem& p) {
  if (!p.paged()) return 0;
  const auto rows = static_cast<std::size_t>(pages_in_pool(p) * p.page_size * p.shape.h_kv);
  return rows * static_cast<std::size_t>(stored_columns(p)) * size_bytes(p.kv_dtype()) +
         page_table_bytes(p);
}

std::size_t bias_bytes(const Problem& p) {
  return p.bias == Bias::kNone
             ? 0
             : static_cast<std::size_t>(p.bias_dims().count()) * size_bytes(p.bias_dtype());
}

}  // namespace

double all_pairs(const Shape& s) {
  double pairs = 0;
  for (std::int64_t b = 0; b < s.b; ++b)
    pairs += static_cast<double>(s.q_len_of(b)) * static_cast<double>(s.kv_len_of(b));
  return static_cast<double>(s.h) * pairs;
}

VisibleCount count_visible(const Problem& p, std::span<const std::uint8_t> key_mask) {
  if (key_mask.empty()) return count_unpadded(p);
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
  const double q_rows = static_cast<double>(s.lse_dims().count());
  const double dense_pairs = all_pairs(s);
  const double dims = static_cast<double>(s.d + s.d_v());
  const double q_and_o = q_rows * dims * static_cast<double>(size_bytes(p.dtype));
  const double k_and_v = visible.kv_rows * static_cast<double>(stored_columns(p)) *
                         static_cast<double>(size_bytes(p.kv_dtype()));
  const double lse_bytes = q_rows * 4.0, sinks = static_cast<double>(sink_bytes(p));
  const double slopes = static_cast<double>(slope_bytes(p));
  // Of a bias what visible pairs have; its gradient is written whole.
  const double bias = static_cast<double>(bias_bytes(p));
  const double seen_bias = dense_pairs > 0 ? bias * visible.pairs / dense_pairs : 0;
  const double forward = q_and_o + k_and_v + static_cast<double>(descale_bytes(p)) +
                         static_cast<double>(page_table_bytes(p)) + lse_bytes + sinks + slopes +
                         seen_bias;
  // And dQ, dO, dK, dV, dsinks, dbias.
  const double backward = 2 * q_and_o + 2 * k_and_v + lse_bytes + 2 * sinks + slopes + seen_bias +
                          (p.needs_bias_gradient() ? bias : 0);

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
          p.v_in_k ? 0 : bytes(s.v_dims(), p.kv_dtype()), bytes(s.o_dims(), p.dtype),
          bytes(s.lse_dims(), Dtype::kF32)};
}

OperandBytes operand_bytes(const Problem& p) {
  const TensorBytes t = tensor_bytes(p);
  const std::size_t mask =
      p.padding == PaddingMask::kNone ? 0 : static_cast<std::size_t>(p.shape.b * p.shape.kv_len);
  const std::size_t v = static_cast<std::size_t>(p.shape.v_dims().count()) *
                        size_bytes(p.kv_dtype());  // also where it is a copy
  OperandBytes all = {t.q + t.k + v + mask + sink_bytes(p) + slope_bytes(p) + bias_bytes(p) +
                          descale_bytes(p) + pool_bytes(p),
                      t.o + t.lse};
  if (p.needs_gradients()) {
    all.inputs += t.o;  // dO
    all.outputs += t.q + t.k + t.v + sink_bytes(p);
    if (p.needs_bias_gradient()) all.outputs += bias_bytes(p);
  }
  return all;
}

}  // namespace flashbench

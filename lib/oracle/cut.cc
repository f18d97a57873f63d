#include "oracle/cut.h"

#include <algorithm>
#include <random>

#include "oracle/autodiff.h"

namespace flashbench::oracle {
namespace {

constexpr double kMaxOperations = 3e6;  // about 0.2 s a pass, 100 MB

Tensor first_of(const Tensor& t, Dims dims) {
  if (t.empty()) return {};
  Tensor out(t.dtype(), dims);
  std::int64_t to = 0;
  for (std::int64_t b = 0; b < dims.b; ++b)
    for (std::int64_t h = 0; h < dims.h; ++h)
      for (std::int64_t r = 0; r < dims.rows; ++r)
        for (std::int64_t c = 0; c < dims.d; ++c) out.set(to++, t.at(b, h, r, c));
  return out;
}

/// Of [b, from] numbers, one a head, those of as many batch elements and heads.
std::vector<float> first_of(const std::vector<float>& numbers, std::int64_t from, std::int64_t b,
                            std::int64_t heads) {
  std::vector<float> out;
  for (std::int64_t n = 0; n < b * heads && !numbers.empty(); ++n)
    out.push_back(numbers[static_cast<std::size_t>(n / heads * from + n % heads)]);
  return out;
}

double operations(const Shape& s) {
  constexpr std::int64_t kKvBlock = 64;
  return static_cast<double>(s.b * s.h_kv) * tape_operations(s, kKvBlock);
}

}  // namespace

OwnedCase cut(const Problem& p, const Inputs& in, const Shape& shape) {
  OwnedCase c{p, {}};
  c.problem.shape = shape;
  shorten_windows(c.problem, p.shape.kv_len);
  c.inputs.q = first_of(in.q, shape.q_dims());
  c.inputs.k = first_of(in.k, shape.k_dims());
  c.inputs.v = first_of(in.v, shape.v_dims());
  c.inputs.d_o = first_of(in.d_o, shape.o_dims());
  c.inputs.bias = first_of(in.bias, c.problem.bias_dims());
  c.inputs.sinks = first_of(in.sinks, p.shape.h, 1, shape.h);
  c.inputs.alibi_slopes = first_of(in.alibi_slopes, p.shape.h, shape.b, shape.h);
  c.inputs.k_scale = first_of(in.k_scale, p.shape.h_kv, shape.b, shape.h_kv);
  c.inputs.v_scale = first_of(in.v_scale, p.shape.h_kv, shape.b, shape.h_kv);
  for (std::int64_t b = 0; b < shape.b && !in.key_mask.empty(); ++b) {
    const auto row = in.key_mask.begin() + static_cast<std::ptrdiff_t>(b * p.shape.kv_len);
    c.inputs.key_mask.insert(c.inputs.key_mask.end(), row,
                             row + static_cast<std::ptrdiff_t>(shape.kv_len));
  }
  return c;
}

Shape tapeable(const Shape& s) {
  if (operations(s) <= kMaxOperations) return s;
  Shape small = s;
  const std::int64_t group = std::min<std::int64_t>(s.group(), 3);
  small.b = std::min<std::int64_t>(s.b, 2);
  small.h_kv = std::min<std::int64_t>(s.h_kv, 2);
  small.h = small.h_kv * group;
  // In proportion: widths that differ still do.
  const auto narrowed = [&](std::int64_t d) {
    return s.widest_d() <= 32 ? d : std::max<std::int64_t>(1, 32 * d / s.widest_d());
  };
  small.d = narrowed(s.d);
  if (s.own_d_v) small.own_d_v = narrowed(s.d_v());
  while (operations(small) > kMaxOperations && std::max(small.q_len, small.kv_len) > 1) {
    small.q_len = (small.q_len + 1) / 2;
    small.kv_len = (small.kv_len + 1) / 2;
  }
  return small;
}

std::int64_t largest_sequence(const Shape& s) {
  const auto pairs = [&](std::int64_t b) { return s.q_len_of(b) * s.kv_len_of(b); };
  std::int64_t largest = 0;
  for (std::int64_t b = 0; b < s.b; ++b)
    if (pairs(b) > pairs(largest)) largest = b;
  return largest;
}

void fill_d_o(const Problem& p, GradSource source, Inputs& in) {
  in.d_o = Tensor(in.q.dtype(), p.shape.o_dims());
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < in.d_o.count(); ++i)
    in.d_o.set(i, source == GradSource::kOnes ? 1.0f : normal(generator));
}

}  // namespace flashbench::oracle

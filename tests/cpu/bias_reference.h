#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"

// Attention with a bias from its definition, in fp64 and one pair at a time, for the tests of it.
namespace flashbench::cpu {

inline std::vector<double> values_of(const Tensor& t) {
  std::vector<double> x(static_cast<std::size_t>(t.count()));
  for (std::int64_t i = 0; i < t.count(); ++i)
    x[static_cast<std::size_t>(i)] = static_cast<double>(t.at(i));
  return x;
}

/// Does query i of batch element b see key j, whatever the bias says of them?
inline bool sees(const Problem& p, const Inputs& in, std::int64_t b, std::int64_t i,
                 std::int64_t j) {
  if (!in.key_mask.empty() && in.key_mask[static_cast<std::size_t>(b * p.shape.kv_len + j)] == 0)
    return false;
  const std::int64_t own = i + p.shape.kv_len - p.shape.q_len;
  if (p.causal && j > own) return false;
  if (p.window_left && j < own - *p.window_left) return false;
  return !p.window_right || j <= own + *p.window_right;
}

class BiasReference {
 public:
  std::vector<double> o, lse, dq, dk, dv, dbias, dsinks;

  BiasReference(const Problem& p, const Inputs& in) : p_(p), in_(in), s_(p.shape) {
    for (const auto& [to, dims] :
         {std::pair(&o, s_.o_dims()), std::pair(&lse, s_.lse_dims()), std::pair(&dq, s_.q_dims()),
          std::pair(&dk, s_.k_dims()), std::pair(&dv, s_.v_dims()),
          std::pair(&dbias, p.bias_dims()), std::pair(&dsinks, s_.sink_dims())})
      to->resize(static_cast<std::size_t>(dims.count()));
    q_ = values_of(in.q);
    k_ = values_of(in.k);
    v_ = values_of(in.v);
    d_o_ = values_of(in.d_o);
    bias_ = values_of(in.bias);
    for (std::int64_t b = 0; b < s_.b; ++b)
      for (std::int64_t h = 0; h < s_.h; ++h)
        for (std::int64_t i = 0; i < s_.q_len; ++i) row(b, h, i);
  }

 private:
  struct Pair {
    std::int64_t key;
    double p, slope;  ///< score, then its P; the derivative of a soft cap
  };
  using Values = std::vector<double>;

  static double* at(Values& x, const Dims& d, std::int64_t b, std::int64_t h, std::int64_t r) {
    return x.data() + d.index(b, h, r, 0);
  }
  static double dot(const double* x, const double* y, std::int64_t n) {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
    return sum;
  }
  static void add(double* to, double factor, const double* x, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) to[i] += factor * x[i];
  }
  std::int64_t bias_index(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    const Dims dims = p_.bias_dims();
    return dims.index(dims.b == 1 ? 0 : b, dims.h == 1 ? 0 : h, i, j);
  }

  /// Scores of the pairs that a row sees. What a huge bias absorbs in f32 is absorbed here.
  std::vector<Pair> scores(std::int64_t b, std::int64_t h, std::int64_t i) {
    std::vector<Pair> pairs;
    const double* q = at(q_, s_.q_dims(), b, h, i);
    for (std::int64_t j = 0; j < s_.kv_len; ++j) {
      if (!sees(p_, in_, b, i, j)) continue;
      const double bias = bias_[static_cast<std::size_t>(bias_index(b, h, i, j))];
      if (bias == -std::numeric_limits<double>::infinity()) continue;
      const double* k = at(k_, s_.k_dims(), b, s_.kv_head(h), j);
      double score = p_.softmax_scale() * dot(q, k, s_.d), slope = 1;
      if (p_.softcap > 0) {
        const double t = std::tanh(score / p_.softcap);
        score = p_.softcap * t;
        slope = 1 - t * t;
      }
      if (p_.alibi != Alibi::kNone)
        score -= static_cast<double>(in_.alibi_slopes[static_cast<std::size_t>(b * s_.h + h)]) *
                 std::abs(static_cast<double>(i + s_.kv_len - s_.q_len - j));
      score += bias;
      if (std::abs(bias) > 1e4) score = static_cast<double>(static_cast<float>(score));
      pairs.push_back({j, score, slope});
    }
    return pairs;
  }

  void row(std::int64_t b, std::int64_t h, std::int64_t i) {
    std::vector<Pair> pairs = scores(b, h, i);
    const double kInf = std::numeric_limits<double>::infinity();
    const double sink =
        in_.sinks.empty() ? -kInf : static_cast<double>(in_.sinks[static_cast<std::size_t>(h)]);
    double max = sink, sum = 0;
    for (const Pair& pair : pairs) max = std::max(max, pair.p);
    double& row_lse = *at(lse, s_.lse_dims(), b, h, i);
    row_lse = max;
    if (max == -kInf) return;
    for (const Pair& pair : pairs) sum += std::exp(pair.p - max);
    sum += std::exp(sink - max);
    row_lse = max + std::log(sum);
    double* o_row = at(o, s_.o_dims(), b, h, i);
    for (Pair& pair : pairs) {
      pair.p = std::exp(pair.p - max) / sum;
      add(o_row, pair.p, at(v_, s_.v_dims(), b, s_.kv_head(h), pair.key), s_.d_v());
    }
    if (p_.needs_gradients()) gradients(b, h, i, pairs, std::exp(sink - max) / sum);
  }

  void gradients(std::int64_t b, std::int64_t h, std::int64_t i, const std::vector<Pair>& pairs,
                 double of_sink) {
    const std::int64_t kv = s_.kv_head(h);
    const double* d_o = at(d_o_, s_.o_dims(), b, h, i);
    const double delta = dot(d_o, at(o, s_.o_dims(), b, h, i), s_.d_v());
    for (const Pair& pair : pairs) {
      const double* v = at(v_, s_.v_dims(), b, kv, pair.key);
      const double ds = pair.p * (dot(d_o, v, s_.d_v()) - delta);
      dbias[static_cast<std::size_t>(bias_index(b, h, i, pair.key))] += ds;
      const double of_product = ds * pair.slope * p_.softmax_scale();
      add(at(dq, s_.q_dims(), b, h, i), of_product, at(k_, s_.k_dims(), b, kv, pair.key), s_.d);
      add(at(dk, s_.k_dims(), b, kv, pair.key), of_product, at(q_, s_.q_dims(), b, h, i), s_.d);
      add(at(dv, s_.v_dims(), b, kv, pair.key), pair.p, d_o, s_.d_v());
    }
    dsinks[static_cast<std::size_t>(h)] -= of_sink * delta;
  }

  const Problem& p_;
  const Inputs& in_;
  Shape s_;
  Values q_, k_, v_, d_o_, bias_;
};

}  // namespace flashbench::cpu

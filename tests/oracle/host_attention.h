#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"
#include "tests/oracle/defects.h"

/// A plain f32 attention for testing the judge: it rounds P and dS to the dtype as fast kernels do,
/// and can be asked to be wrong in one particular way.
namespace flashbench::host {

/// Normal inputs (Q times logit_scale), padding mask and dO as the problem asks.
inline Inputs random_inputs(const Problem& p, float logit_scale = 1) {
  const Shape& s = p.shape;
  std::mt19937 generator(static_cast<unsigned>(p.seed + 1));
  std::normal_distribution<float> normal;
  const auto fill = [&](Dims dims, float times) {
    Tensor t(p.dtype, dims);
    for (std::int64_t i = 0; i < t.count(); ++i) t.set(i, times * normal(generator));
    return t;
  };
  /// Of 8 bits: as large, but for the descales.
  const auto fill_stored = [&](Dims dims, float unit, std::vector<float>& descales) {
    if (!p.has_descales()) return fill(dims, 1);
    Tensor t(p.kv_dtype(), dims);
    const std::int64_t head = dims.rows * dims.d;
    for (std::int64_t n = 0; n < dims.b * dims.h; ++n)
      descales.push_back(unit * static_cast<float>(3 + 2 * (n % 5)));
    for (std::int64_t i = 0; i < t.count(); ++i)
      t.set(i, normal(generator) / descales[static_cast<std::size_t>(i / head)]);
    return t;
  };
  Inputs in;
  in.q = fill(s.q_dims(), logit_scale);
  in.k = fill_stored(s.k_dims(), 0x1p-6f, in.k_scale);
  in.v = fill_stored(s.v_dims(), 0x5p-9f, in.v_scale);
  if (p.needs_gradients()) {
    in.d_o = fill(s.o_dims(), 1);
    if (p.d_o == GradSource::kOnes)
      for (std::int64_t i = 0; i < in.d_o.count(); ++i) in.d_o.set(i, 1);
  }
  for (std::int64_t n = 0; p.alibi != Alibi::kNone && n < s.b * s.h; ++n)
    in.alibi_slopes.push_back(std::exp2(-0.7f * static_cast<float>(n % s.h + 1)));
  if (p.sinks != Sinks::kNone)
    for (std::int64_t h = 0; h < s.h; ++h)
      in.sinks.push_back(std::log(static_cast<float>(s.kv_len)) + normal(generator));
  if (p.bias != Bias::kNone) {
    in.bias = Tensor(p.bias_dtype(), p.bias_dims());
    for (std::int64_t i = 0; i < in.bias.count(); ++i)
      in.bias.set(
          i, generator() % 16 == 0 ? -std::numeric_limits<float>::infinity() : normal(generator));
  }
  if (p.padding != PaddingMask::kNone) {
    std::bernoulli_distribution keep(p.mask_keep);
    for (std::int64_t i = 0; i < s.b * s.kv_len; ++i)
      in.key_mask.push_back(keep(generator) ? 1 : 0);
  }
  return in;
}

inline Outputs empty_outputs(const Problem& p) {
  Outputs out;
  out.o = Tensor(p.dtype, p.shape.o_dims());
  out.lse = Tensor(Dtype::kF32, p.shape.lse_dims());
  if (p.needs_gradients()) {
    out.dq = Tensor(p.dtype, p.shape.q_dims());
    out.dk = Tensor(p.dtype, p.shape.k_dims());
    out.dv = Tensor(p.dtype, p.shape.v_dims());
    if (p.sinks != Sinks::kNone) out.dsinks = Tensor(Dtype::kF32, p.shape.sink_dims());
    if (p.needs_bias_gradient()) out.dbias = Tensor(p.bias_dtype(), p.bias_dims());
  }
  out.poison();
  return out;
}

template <typename T>
class Attention {
 public:
  Attention(const Problem& p, const Inputs& in, Defect defect)
      : p_(p), in_(in), s_(p.shape), defect_(defect), out_(empty_outputs(p)) {
    scale_ = static_cast<float>(p.softmax_scale());
    if (defect == Defect::kScaleOff) scale_ *= 1.01f;
  }

  Outputs run() {
    for (std::int64_t h = 0; h < out_.dsinks.count(); ++h) out_.dsinks.set(h, 0);
    dbias_.assign(static_cast<std::size_t>(out_.dbias.count()), 0.0f);
    for (std::int64_t b = 0; b < s_.b; ++b)
      for (std::int64_t h_kv = 0; h_kv < s_.h_kv; ++h_kv) {
        const std::int64_t source = defect_ == Defect::kHeadSwapped ? (h_kv + 1) % s_.h_kv : h_kv;
        k_ = load(in_.k, b, source, descale(in_.k_scale, in_.v_scale, b, source));
        v_ = load(in_.v, b, source, descale(in_.v_scale, in_.k_scale, b, source));
        dk_.assign(k_.size());
        dv_.assign(v_.size());
        for (std::int64_t h = h_kv * s_.group(); h < (h_kv + 1) * s_.group(); ++h)
          for (std::int64_t i = 0; i < s_.q_len; ++i) row(b, h, i);
        if (!p_.needs_gradients()) continue;
        store(out_.dk, b, h_kv, dk_.finish());
        store(out_.dv, b, h_kv, dv_.finish());
      }
    for (std::int64_t n = 0; n < out_.dbias.count(); ++n) out_.dbias.set(n, dbias_.data()[n]);
    return std::move(out_);
  }

 private:
  float round(float x) const {
    if (defect_ == Defect::kShortWeights) return to_f32(to_f16(x));
    return to_f32(from_f32<T>(x));
  }

  std::vector<float> load(const Tensor& t, std::int64_t b, std::int64_t h, float times) const {
    std::vector<float> x;
    const std::int64_t first = t.dims().index(b, h, 0, 0);
    for (std::int64_t n = 0; n < t.dims().rows * t.dims().d; ++n)
      x.push_back(times * t.at(first + n));
    return x;
  }
  /// Of a head of the tensor whose descales are `own`.
  float descale(const std::vector<float>& own, const std::vector<float>& other, std::int64_t b,
                std::int64_t h) const {
    const Defect left_out =
        &own == &in_.k_scale ? Defect::kKDescaleLeftOut : Defect::kVDescaleLeftOut;
    if (own.empty() || defect_ == left_out) return 1;
    if (defect_ == Defect::kDescalesOfNextHead) h = (h + 1) % s_.h_kv;
    const bool swapped = defect_ == Defect::kDescalesOfTheOther;
    return (swapped ? other : own)[static_cast<std::size_t>(b * s_.h_kv + h)];
  }
  void store(Tensor& t, std::int64_t b, std::int64_t h, const std::vector<float>& x) const {
    const std::int64_t first = t.dims().index(b, h, 0, 0);
    const std::int64_t count = t.dims().rows * t.dims().d;
    const std::int64_t dropped = defect_ == Defect::kKeyTileDropped
                                     ? std::max<std::int64_t>(0, count - 16 * t.dims().d)
                                     : count;
    for (std::int64_t n = 0; n < count; ++n) t.set(first + n, n < dropped ? x.data()[n] : 0.0f);
  }

  bool visible(std::int64_t b, std::int64_t i, std::int64_t j) const {
    if (defect_ == Defect::kLastKeyDropped && j == s_.kv_len - 1) return false;
    if (!in_.key_mask.empty() && in_.key_mask[static_cast<std::size_t>(b * s_.kv_len + j)] == 0)
      return false;
    const std::int64_t shift = defect_ == Defect::kCausalOffByOne ? 1 : 0;
    const std::int64_t own = i + s_.kv_len - s_.q_len;
    if (p_.window_left && j < own - *p_.window_left) return false;
    if (p_.window_right && j > own + *p_.window_right) return false;
    return !p_.causal || j <= own - shift;
  }

  /// Chains of at most 128 terms, as kernels have them.
  static float dot(const float* x, const float* y, std::int64_t d) {
    float sum = 0;
    for (std::int64_t first = 0; first < d; first += 128) {
      float part = 0;
      for (std::int64_t c = first; c < std::min(d, first + 128); ++c) part += x[c] * y[c];
      sum += part;
    }
    return sum;
  }
  /// A vector that is summed over keys or queries: in parts of 128 terms, too.
  class Sums {
   public:
    void assign(std::size_t n) {
      total_.assign(n, 0.0f);
      part_.assign(n, 0.0f);
      terms_ = 0;
    }
    void add(float weight, const float* x, std::size_t first, std::size_t n) {
      for (std::size_t c = 0; c < n; ++c) part_[first + c] += weight * x[c];
    }
    /// A term was added to every element.
    void next() {
      if (++terms_ % 128 == 0) finish();
    }
    const std::vector<float>& finish() {
      for (std::size_t c = 0; c < total_.size(); ++c) {
        total_[c] += part_[c];
        part_[c] = 0;
      }
      return total_;
    }

   private:
    std::vector<float> total_, part_;
    int terms_ = 0;
  };

  /// What ALiBi takes from a score.
  float penalty(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    if (in_.alibi_slopes.empty()) return 0;
    const std::int64_t of = defect_ == Defect::kAlibiOfNextHead ? (h + 1) % s_.h : h;
    const std::int64_t own = defect_ == Defect::kAlibiTopLeft ? i : i + s_.kv_len - s_.q_len;
    return in_.alibi_slopes[static_cast<std::size_t>(b * s_.h + of)] *
           static_cast<float>(std::abs(own - j));
  }
  /// What is added to a score afterwards.
  float bias(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    if (in_.bias.empty() || defect_ == Defect::kBiasLeftOut) return 0;
    const Dims& dims = in_.bias.dims();
    const std::int64_t of = defect_ == Defect::kBiasOfNextHead ? h + 1 : h;
    const float x = in_.bias.at(b % dims.b, of % dims.h, i, j);
    return defect_ == Defect::kBiasIgnoresInfinity && std::isinf(x) ? 0 : x;
  }
  void add_bias_gradient(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j, float ds) {
    if (out_.dbias.empty()) return;
    const Dims& dims = out_.dbias.dims();
    if (defect_ == Defect::kBiasGradientOfOneHead && (b % dims.b != b || h % dims.h != h)) return;
    dbias_.data()[dims.index(b % dims.b, h % dims.h, i, j)] += ds;
  }
  /// -inf: none.
  float sink(std::int64_t h) const {
    if (in_.sinks.empty() || defect_ == Defect::kSinkLeftOut)
      return -std::numeric_limits<float>::infinity();
    const std::int64_t of = defect_ == Defect::kSinkOfNextHead ? (h + 1) % s_.h : h;
    return in_.sinks[static_cast<std::size_t>(of)];
  }
  /// Adds what a row gives to dsinks.
  void sink_gradient(std::int64_t b, std::int64_t h, float max, float sum, float row_d) {
    if (out_.dsinks.empty()) return;
    if (defect_ == Defect::kSinkGradientOfLastBatch && b != s_.b - 1) return;
    const float sign = defect_ == Defect::kSinkGradientSign ? 1.0f : -1.0f;
    const float share = std::exp(in_.sinks[static_cast<std::size_t>(h)] - max) / sum;
    out_.dsinks.set(h, out_.dsinks.at(h) + sign * share * row_d);
  }

  /// Of the soft cap that made this score.
  float slope(float s) const {
    if (p_.softcap == 0 || defect_ == Defect::kSlopeLeftOut) return 1;
    const float share = s / static_cast<float>(p_.softcap);
    return 1 - share * share;
  }

  void row(std::int64_t b, std::int64_t h, std::int64_t i);
  void row_gradients(std::int64_t b, std::int64_t h, std::int64_t i, float max, float sum);

  const Problem& p_;
  const Inputs& in_;
  const Shape s_;
  Defect defect_;
  float scale_;
  Outputs out_;
  std::vector<float> k_, v_;  // of the current K/V head
  Sums dk_, dv_;
  std::vector<float> dbias_;
  std::vector<float> q_, s_row_, slopes_;  // of the current query row
  Sums sum_, o_;
};

template <typename T>
void Attention<T>::row(std::int64_t b, std::int64_t h, std::int64_t i) {
  const std::int64_t d = s_.d, d_v = s_.d_v();
  q_.clear();
  for (std::int64_t c = 0; c < d; ++c) q_.push_back(in_.q.at(b, h, i, c));
  slopes_.assign(static_cast<std::size_t>(s_.kv_len), 1.0f);
  s_row_.assign(static_cast<std::size_t>(s_.kv_len), -std::numeric_limits<float>::infinity());
  o_.assign(static_cast<std::size_t>(d_v));
  sum_.assign(1);
  float max = -std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < s_.kv_len; ++j) {
    if (!visible(b, i, j)) continue;
    float& s = s_row_.data()[j];
    s = scale_ * dot(q_.data(), k_.data() + j * d, d);
    if (const auto cap = static_cast<float>(p_.softcap); cap > 0) s = cap * std::tanh(s / cap);
    slopes_.data()[j] = slope(s);
    s += bias(b, h, i, j) - penalty(b, h, i, j);
    max = std::max(max, s_row_.data()[j]);
  }
  const bool empty = std::isinf(max);
  max = std::max(max, sink(h));
  const float one = 1;
  if (!std::isinf(sink(h))) {
    const float p = std::exp(sink(h) - max);
    sum_.add(p, &one, 0, 1);
    sum_.next();
    if (defect_ == Defect::kSinkHasValue)
      o_.add(round(p), v_.data() + (s_.kv_len - 1) * d_v, 0, static_cast<std::size_t>(d_v));
  }
  float running = -std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < s_.kv_len; ++j) {
    const float score = s_row_.data()[j];
    if (std::isinf(score)) continue;
    running = std::max(running, score);
    const float p = std::exp(score - (defect_ == Defect::kRescaleMissing ? running : max));
    sum_.add(defect_ == Defect::kRescaleMissing ? std::exp(score - max) : p, &one, 0, 1);
    sum_.next();
    o_.add(round(p), v_.data() + j * d_v, 0, static_cast<std::size_t>(d_v));
    o_.next();
  }
  const std::vector<float>& sums = o_.finish();
  const float sum = sum_.finish()[0];
  const bool unnormalised = defect_ == Defect::kRowUnnormalised && i == s_.q_len / 2;
  const bool zero =
      empty || (defect_ == Defect::kLateRowsZero && i >= s_.q_len - (s_.q_len + 7) / 8);
  const std::int64_t first = out_.o.dims().index(b, h, i, 0);
  for (std::int64_t c = 0; c < d_v; ++c) {
    float o = zero ? 0.0f : unnormalised ? sums.data()[c] : sums.data()[c] / sum;
    if (defect_ == Defect::kDoubleRounding) o = to_f32(to_bf16(o * (1 + 0x1p-16f)));
    out_.o.set(first + c, o);
  }
  const float lse = std::isinf(max) ? max : max + std::log(sum);
  float stored = defect_ == Defect::kLseBase2 ? lse * 1.44269504f : lse;
  if (defect_ == Defect::kLseWithoutSink) stored += std::log1p(-std::exp(sink(h) - lse));
  out_.lse.set(out_.lse.dims().index(b, h, i, 0), stored);
  if (p_.needs_gradients()) row_gradients(b, h, i, max, sum);
}

template <typename T>
void Attention<T>::row_gradients(std::int64_t b, std::int64_t h, std::int64_t i, float max,
                                 float sum) {
  const std::int64_t d = s_.d, d_v = s_.d_v();
  const std::int64_t first = out_.dq.dims().index(b, h, i, 0);
  const std::int64_t of_o = out_.o.dims().index(b, h, i, 0);
  const auto columns = static_cast<std::size_t>(d);
  std::vector<float> d_o;
  Sums dq;
  dq.assign(columns);
  float row_d = 0;
  for (std::int64_t c = 0; c < d_v; ++c) {
    d_o.push_back(in_.d_o.at(of_o + c));
    row_d += d_o.back() * out_.o.at(of_o + c);
  }
  if (defect_ == Defect::kDDropped) row_d = 0;
  sink_gradient(b, h, max, sum, row_d);
  for (std::int64_t j = 0; j < s_.kv_len; ++j) {
    if (std::isinf(s_row_.data()[j])) continue;
    const float p = std::exp(s_row_.data()[j] - max) / sum;
    const float before = p * (dot(d_o.data(), v_.data() + j * d_v, d_v) - row_d);
    const float ds = round(before * slopes_.data()[j]);
    add_bias_gradient(b, h, i, j, defect_ == Defect::kBiasGradientSloped ? ds : before);
    const auto at = static_cast<std::size_t>(j * d);
    dv_.add(round(p), d_o.data(), static_cast<std::size_t>(j * d_v), static_cast<std::size_t>(d_v));
    dk_.add(ds * scale_, q_.data(), at, columns);
    dq.add(ds, k_.data() + at, 0, columns);
    dq.next();
  }
  dv_.next();
  dk_.next();
  for (std::int64_t c = 0; c < d; ++c) out_.dq.set(first + c, scale_ * dq.finish().data()[c]);
}

/// The defects of one tensor that are planted after it was computed right.
inline void spoil(Tensor& t, Defect defect) {
  const Dims& dims = t.dims();
  const std::int64_t middle = dims.d / 2, other = std::max<std::int64_t>(middle - 1, 0);
  const std::int64_t rows = dims.b * dims.h * dims.rows;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t first = r * dims.d;
    const float x = t.at(first + middle), y = t.at(first + other);
    if (defect == Defect::kChannelScaled) t.set(first + middle, x * 1.01f);
    if (defect == Defect::kChannelsSwapped) {
      t.set(first + middle, y);
      t.set(first + other, x);
    }
    for (std::int64_t c = 1; defect == Defect::kOneChannel && c < dims.d; ++c) t.set(first + c, 0);
  }
  if (defect != Defect::kStaleTile || dims.h < 2) return;
  for (std::int64_t r = dims.rows / 3; r < std::min(dims.rows, dims.rows / 3 + 16); ++r)
    for (std::int64_t c = 0; c < dims.d; ++c)
      t.set(dims.index(dims.b - 1, dims.h - 1, r, c), t.at(dims.b - 1, dims.h - 2, r, c));
}

inline Outputs attention(const Problem& p, const Inputs& in, Defect defect = Defect::kNone) {
  Outputs out = with_dtype(
      p.dtype, [&](auto zero) { return Attention<decltype(zero)>(p, in, defect).run(); });
  for (Tensor* t : {&out.o, &out.dq, &out.dk, &out.dv})
    if (!t->empty()) spoil(*t, defect);
  return out;
}

}  // namespace flashbench::host

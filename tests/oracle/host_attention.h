#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"

/// A plain f32 attention for testing the judge: it rounds P and dS to the dtype as fast kernels do,
/// and can be asked to be wrong in one particular way.
namespace flashbench::host {

enum class Defect {
  kNone,
  kDoubleRounding,  ///< O through bf16 twice: NOT an error
  kLastKeyDropped,
  kCausalOffByOne,
  kScaleOff,         ///< by 1 %
  kHeadSwapped,      ///< query heads use the next K/V head
  kRowUnnormalised,  ///< one row of O is not divided by its sum
  kRescaleMissing,   ///< O is not rescaled when the running max moves
  kDDropped,         ///< dS = P∘dP
  kLateRowsZero,     ///< the last eighth of the rows is 0
  kLseBase2,
  kKeyTileDropped,  ///< dK and dV of the last 16 keys are 0
};

inline constexpr Defect kDefects[] = {
    Defect::kNone,     Defect::kDoubleRounding, Defect::kLastKeyDropped,  Defect::kCausalOffByOne,
    Defect::kScaleOff, Defect::kHeadSwapped,    Defect::kRowUnnormalised, Defect::kRescaleMissing,
    Defect::kDDropped, Defect::kLateRowsZero,   Defect::kLseBase2,        Defect::kKeyTileDropped};

inline const char* name(Defect d) {
  static constexpr const char* kNames[] = {
      "none",          "double rounding", "last key dropped", "causal off by one",
      "scale off 1 %", "head swapped",    "row unnormalised", "rescale missing",
      "D dropped",     "late rows zero",  "lse base 2",       "key tile dropped"};
  return kNames[static_cast<int>(d)];
}

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
  Inputs in;
  in.q = fill(s.q_dims(), logit_scale);
  in.k = fill(s.k_dims(), 1);
  in.v = fill(s.v_dims(), 1);
  if (p.needs_gradients()) {
    in.d_o = fill(s.o_dims(), 1);
    if (p.d_o == GradSource::kOnes)
      for (std::int64_t i = 0; i < in.d_o.count(); ++i) in.d_o.set(i, 1);
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
    const auto kv_size = static_cast<std::size_t>(s_.kv_len * s_.d);
    for (std::int64_t b = 0; b < s_.b; ++b)
      for (std::int64_t h_kv = 0; h_kv < s_.h_kv; ++h_kv) {
        const std::int64_t source = defect_ == Defect::kHeadSwapped ? (h_kv + 1) % s_.h_kv : h_kv;
        k_ = load(in_.k, b, source);
        v_ = load(in_.v, b, source);
        dk_.assign(kv_size, 0.0f);
        dv_.assign(kv_size, 0.0f);
        for (std::int64_t h = h_kv * s_.group(); h < (h_kv + 1) * s_.group(); ++h)
          for (std::int64_t i = 0; i < s_.q_len; ++i) row(b, h, i);
        if (!p_.needs_gradients()) continue;
        store(out_.dk, b, h_kv, dk_);
        store(out_.dv, b, h_kv, dv_);
      }
    return std::move(out_);
  }

 private:
  static float round(float x) { return to_f32(from_f32<T>(x)); }

  std::vector<float> load(const Tensor& t, std::int64_t b, std::int64_t h) const {
    std::vector<float> x;
    const std::int64_t first = t.dims().index(b, h, 0, 0);
    for (std::int64_t n = 0; n < t.dims().rows * s_.d; ++n) x.push_back(t.at(first + n));
    return x;
  }
  void store(Tensor& t, std::int64_t b, std::int64_t h, const std::vector<float>& x) const {
    const std::int64_t first = t.dims().index(b, h, 0, 0);
    const std::int64_t count = t.dims().rows * s_.d;
    const std::int64_t dropped =
        defect_ == Defect::kKeyTileDropped ? std::max<std::int64_t>(0, count - 16 * s_.d) : count;
    for (std::int64_t n = 0; n < count; ++n) t.set(first + n, n < dropped ? x.data()[n] : 0.0f);
  }

  bool visible(std::int64_t b, std::int64_t i, std::int64_t j) const {
    if (defect_ == Defect::kLastKeyDropped && j == s_.kv_len - 1) return false;
    if (!in_.key_mask.empty() && in_.key_mask[static_cast<std::size_t>(b * s_.kv_len + j)] == 0)
      return false;
    const std::int64_t shift = defect_ == Defect::kCausalOffByOne ? 1 : 0;
    return !p_.causal || j <= i + s_.kv_len - s_.q_len - shift;
  }

  static float dot(const float* x, const float* y, std::int64_t d) {
    float sum = 0;
    for (std::int64_t c = 0; c < d; ++c) sum += x[c] * y[c];
    return sum;
  }

  void row(std::int64_t b, std::int64_t h, std::int64_t i);
  void row_gradients(std::int64_t b, std::int64_t h, std::int64_t i, float lse);

  const Problem& p_;
  const Inputs& in_;
  const Shape s_;
  Defect defect_;
  float scale_;
  Outputs out_;
  std::vector<float> k_, v_, dk_, dv_;  // of the current K/V head
  std::vector<float> q_, s_row_, o_;    // of the current query row
};

template <typename T>
void Attention<T>::row(std::int64_t b, std::int64_t h, std::int64_t i) {
  const std::int64_t d = s_.d;
  q_.clear();
  for (std::int64_t c = 0; c < d; ++c) q_.push_back(in_.q.at(b, h, i, c));
  s_row_.assign(static_cast<std::size_t>(s_.kv_len), -std::numeric_limits<float>::infinity());
  o_.assign(static_cast<std::size_t>(d), 0.0f);
  float max = -std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < s_.kv_len; ++j) {
    if (!visible(b, i, j)) continue;
    s_row_.data()[j] = scale_ * dot(q_.data(), k_.data() + j * d, d);
    max = std::max(max, s_row_.data()[j]);
  }
  float sum = 0, running = -std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < s_.kv_len; ++j) {
    const float score = s_row_.data()[j];
    if (std::isinf(score)) continue;
    running = std::max(running, score);
    const float p = std::exp(score - (defect_ == Defect::kRescaleMissing ? running : max));
    sum += defect_ == Defect::kRescaleMissing ? std::exp(score - max) : p;
    const float rounded = round(p);
    for (std::int64_t c = 0; c < d; ++c) o_.data()[c] += rounded * v_.data()[j * d + c];
  }
  const bool empty = std::isinf(max);
  const bool unnormalised = defect_ == Defect::kRowUnnormalised && i == s_.q_len / 2;
  const bool zero =
      empty || (defect_ == Defect::kLateRowsZero && i >= s_.q_len - (s_.q_len + 7) / 8);
  const std::int64_t first = out_.o.dims().index(b, h, i, 0);
  for (std::int64_t c = 0; c < d; ++c) {
    float o = zero ? 0.0f : unnormalised ? o_.data()[c] : o_.data()[c] / sum;
    if (defect_ == Defect::kDoubleRounding) o = to_f32(to_bf16(o * (1 + 0x1p-16f)));
    out_.o.set(first + c, o);
  }
  const float lse = empty ? max : max + std::log(sum);
  out_.lse.set(out_.lse.dims().index(b, h, i, 0),
               defect_ == Defect::kLseBase2 ? lse * 1.44269504f : lse);
  if (p_.needs_gradients()) row_gradients(b, h, i, lse);
}

template <typename T>
void Attention<T>::row_gradients(std::int64_t b, std::int64_t h, std::int64_t i, float lse) {
  const std::int64_t d = s_.d;
  const std::int64_t first = out_.dq.dims().index(b, h, i, 0);
  std::vector<float> d_o, dq(static_cast<std::size_t>(d), 0.0f);
  float row_d = 0;
  for (std::int64_t c = 0; c < d; ++c) {
    d_o.push_back(in_.d_o.at(first + c));
    row_d += d_o.back() * out_.o.at(first + c);
  }
  if (defect_ == Defect::kDDropped) row_d = 0;
  for (std::int64_t j = 0; j < s_.kv_len; ++j) {
    if (std::isinf(s_row_.data()[j])) continue;
    const float p = std::exp(s_row_.data()[j] - lse);
    const float ds = round(p * (dot(d_o.data(), v_.data() + j * d, d) - row_d));
    const float rounded = round(p);
    for (std::int64_t c = 0; c < d; ++c) {
      dv_.data()[j * d + c] += rounded * d_o.data()[c];
      dk_.data()[j * d + c] += ds * scale_ * q_.data()[c];
      dq.data()[c] += ds * k_.data()[j * d + c];
    }
  }
  for (std::int64_t c = 0; c < d; ++c) out_.dq.set(first + c, scale_ * dq.data()[c]);
}

inline Outputs attention(const Problem& p, const Inputs& in, Defect defect = Defect::kNone) {
  return with_dtype(p.dtype,
                    [&](auto zero) { return Attention<decltype(zero)>(p, in, defect).run(); });
}

}  // namespace flashbench::host

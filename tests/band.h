#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"
#include "core/visibility.h"

// Masks whose rows do not begin at key 0, with a definition that is not the oracle's: loops that
// take the first key for granted hang or compute something else.
namespace flashbench {

inline constexpr std::int32_t kNo = Visible::kNoLimit;

/// Query q sees the kept keys from `behind` before its own to `ahead` after it.
struct BandCase {
  const char* guards_against;
  Shape shape;
  std::int32_t behind, ahead;
  double keep = 1.0;

  Problem problem(Dtype dtype) const {
    Problem p;
    p.shape = shape;
    p.dtype = dtype;
    p.pass = Pass::kBoth;
    p.d_o = GradSource::kRandom;
    if (behind != kNo) p.window_left = behind;
    if (ahead != kNo) p.window_right = ahead;
    if (keep < 1.0) {
      p.padding = PaddingMask::kRandom;
      p.mask_keep = keep;
    }
    return p;
  }
};

/// The definition, one pair after the other, in fp64.
class BandReference {
 public:
  BandReference(const BandCase& c, const Problem& p, const Inputs& in) : c_(c), p_(p), in_(in) {
    const Shape& s = p.shape;
    o = zeros(s.q_dims()), dq = zeros(s.q_dims()), dk = zeros(s.k_dims()), dv = zeros(s.v_dims());
    lse.assign(static_cast<std::size_t>(s.lse_dims().count()), -kInf);
    for (std::int64_t b = 0; b < s.b; ++b)
      for (std::int64_t h = 0; h < s.h; ++h)
        for (std::int64_t q = 0; q < s.q_len; ++q) row(b, h, q);
  }
  std::vector<double> o, lse, dq, dk, dv;

 private:
  static constexpr double kInf = std::numeric_limits<double>::infinity();
  static std::vector<double> zeros(const Dims& d) {
    return std::vector<double>(static_cast<std::size_t>(d.count()));
  }
  bool sees(std::int64_t b, std::int64_t q, std::int64_t k) const {
    const Shape& s = p_.shape;
    const std::int64_t own = q + s.kv_len - s.q_len;
    return (in_.key_mask.empty() || in_.key_mask[static_cast<std::size_t>(b * s.kv_len + k)]) &&
           (c_.behind == kNo || k >= own - c_.behind) && (c_.ahead == kNo || k <= own + c_.ahead);
  }
  void row(std::int64_t b, std::int64_t h, std::int64_t q) {
    const Shape& s = p_.shape;
    const std::int64_t g = s.kv_head(h);
    std::vector<std::int64_t> keys;
    std::vector<double> x;
    for (std::int64_t k = 0; k < s.kv_len; ++k) {
      if (!sees(b, q, k)) continue;
      double dot = 0;
      for (std::int64_t d = 0; d < s.d; ++d) dot += in_.q.at(b, h, q, d) * in_.k.at(b, g, k, d);
      keys.push_back(k);
      x.push_back(dot * p_.softmax_scale());
    }
    if (keys.empty()) return;
    const double max = *std::max_element(x.begin(), x.end());
    double sum = 0, delta = 0;
    for (double& e : x) sum += e = std::exp(e - max);
    const auto at = [&](std::int64_t d) {
      return static_cast<std::size_t>(s.q_dims().index(b, h, q, d));
    };
    const auto kv = [&](std::int64_t k, std::int64_t d) {
      return static_cast<std::size_t>(s.k_dims().index(b, g, k, d));
    };
    lse[at(0) / static_cast<std::size_t>(s.d)] = max + std::log(sum);
    for (std::int64_t d = 0; d < s.d; ++d) {
      for (std::size_t i = 0; i < keys.size(); ++i)
        o[at(d)] += x[i] / sum * in_.v.at(b, g, keys[i], d);
      delta += o[at(d)] * in_.d_o.at(b, h, q, d);
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
      double dp = 0;
      for (std::int64_t d = 0; d < s.d; ++d)
        dp += in_.d_o.at(b, h, q, d) * in_.v.at(b, g, keys[i], d);
      const double ds = x[i] / sum * (dp - delta) * p_.softmax_scale();
      for (std::int64_t d = 0; d < s.d; ++d) {
        dq[at(d)] += ds * in_.k.at(b, g, keys[i], d);
        dk[kv(keys[i], d)] += ds * in_.q.at(b, h, q, d);
        dv[kv(keys[i], d)] += x[i] / sum * in_.d_o.at(b, h, q, d);
      }
    }
  }

  const BandCase& c_;
  const Problem& p_;
  const Inputs& in_;
};

inline void expect_close(const char* name, const Tensor& got, const std::vector<double>& expected,
                         double tolerance) {
  double largest = 1;
  for (const double x : expected)
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  int wrong = 0;
  for (std::size_t i = 0; i < expected.size() && wrong < 3; ++i) {
    const double x = got.at(static_cast<std::int64_t>(i));
    if (x == expected[i] || std::abs(x - expected[i]) <= tolerance * largest) continue;
    ++wrong;
    ADD_FAILURE() << name << '[' << i << "] = " << x << ", should be " << expected[i];
  }
}

}  // namespace flashbench

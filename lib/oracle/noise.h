#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/dtype.h"

namespace flashbench::oracle {

/// The smallest normal f32: f32 arithmetic may flush what lies below.
inline constexpr double kF32Tiny = 0x1p-126;

/// Rounding of a number to a dtype.
struct Rounding {
  double u;  ///< relative: unit roundoff
  double t;  ///< absolute: what underflow loses at most

  explicit Rounding(Dtype dtype)
      : u(unit_roundoff(dtype)), t(dtype == Dtype::kF16 ? 0x1p-25 : kF32Tiny) {}

  /// The error of storing x: relative, or where x is subnormal absolute, or all of x.
  double of(double x) const { return of(x, t); }

  /// The error of storing ds = p·(dP - D): itself, or what is left of it when p was flushed, or
  /// |scale|·ds was stored instead.
  double of_gradient(double ds, double p, double scale) const {
    const double lost_p = p > 0 ? std::min(1.0, kF32Tiny / p) : 0.0;
    return of(ds, t / std::min(1.0, std::abs(scale)) + std::abs(ds) * lost_p);
  }

 private:
  double of(double x, double flush) const {
    const double size = std::abs(x);
    return std::max(u * size, std::min(flush, size));
  }
};

/// Relative noise of an f32 sum of n terms, added one after the other, beyond one ulp: partial sums
/// of random rounding grow with sqrt(n); a fifth of an ulp each.
inline double sum_noise(std::int64_t n) {
  return 0x1p-23 * 0.2 * std::sqrt(static_cast<double>(n));
}

/// Relative noise v of P = exp(S - LSE) in a row of n keys whose scores are f32 sums of d products:
/// kappa = |scale|·sqrt(d)·max over j of rss_c(q·k). One ulp of exp adds the 1.
inline double softmax_noise(double kappa, std::int64_t n) {
  return 0x1p-23 * (1 + kappa) + sum_noise(n);
}

}  // namespace flashbench::oracle

#pragma once

#include <algorithm>
#include <cmath>

#include "core/dtype.h"

namespace flashbench::oracle {

/// Rounding of a number to a dtype.
struct Rounding {
  double u;  ///< relative: unit roundoff
  double t;  ///< absolute: what underflow loses at most

  explicit Rounding(Dtype dtype)
      : u(unit_roundoff(dtype)), t(dtype == Dtype::kF16 ? 0x1p-25 : 0x1p-126) {}

  /// The error of storing x: relative, or where x is subnormal absolute, or all of x.
  double of(double x) const { return of(x, t); }
  double of(double x, double flush) const {
    const double size = std::abs(x);
    return std::max(u * size, std::min(flush, size));
  }
};

/// Relative noise v of P = exp(S - LSE) when the scores of a row are f32 sums of d products:
/// kappa = |scale|·sqrt(d)·max over j of rss_c(q·k). One ulp of exp and of the sum adds the 1.
inline double softmax_noise(double kappa) { return 0x1p-23 * (1 + kappa); }

}  // namespace flashbench::oracle

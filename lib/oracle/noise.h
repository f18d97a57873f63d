#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/dtype.h"
#include "oracle/definition.h"

namespace flashbench::oracle {

/// The smallest normal f32: f32 arithmetic may flush what lies below.
inline constexpr double kF32Tiny = row_of(Dtype::kF32).smallest_normal;

/// What storing a number costs. `random` errors of many numbers have random signs, so they add up
/// as the root of the sum of squares; what is `lost` to underflow is always the number itself, so
/// it adds up as the numbers do.
struct StoreError {
  double random = 0, lost = 0;
};

/// Rounding of a number to a dtype.
struct Rounding {
  double u;  ///< relative: unit roundoff
  double t;  ///< absolute: half the smallest number, or what f32 arithmetic may flush

  explicit Rounding(Dtype dtype)
      : u(row_of(dtype).roundoff), t(std::max(row_of(dtype).smallest_subnormal / 2, kF32Tiny)) {}

  /// Storing a probability.
  StoreError of(double p) const { return of(p, t); }

  /// Storing ds = p·(dP - D), or |scale|·ds in its stead; p itself may have been flushed.
  StoreError of_gradient(double ds, double p, double scale) const {
    if (p < kF32Tiny) return {0, std::abs(ds)};
    return of(ds, t / std::min(1.0, std::abs(scale)));
  }

 private:
  StoreError of(double x, double flush) const {
    const double size = std::abs(x);
    if (size < flush) return {0, size};
    return {std::max(u * size, flush), 0};
  }
};

/// Relative noise of an f32 sum of n terms, added one after the other, beyond one ulp: partial sums
/// of random rounding grow with sqrt(n); a fifth of an ulp each.
inline double sum_noise(std::int64_t n) {
  return 0x1p-23 * 0.2 * std::sqrt(static_cast<double>(n));
}

/// kappa of one pair, in units of an f32 ulp of 1: how far off its score is expected to be. The sum
/// of d products is off by `sum` = |scale|·sqrt(d)·rss_c(q·k), and a modification of it, where
/// there is one, carries that on by its slope; it is itself as exact as what it adds, or as its
/// result, whichever is smaller. `raw`: the score before the modification.
inline double score_noise(double sum, const Score& score, double raw) {
  return std::abs(score.slope) * sum + std::min(std::abs(score.value - raw), std::abs(score.value));
}

/// What noise of P is multiplied by on its way to dS where a score was modified: the slope, which
/// itself is off by an ulp of 1 or so.
inline double slope_noise(double slope) { return std::max(1.0, std::abs(slope)); }

/// Relative noise v of P = exp(S - LSE) in a row of n keys; kappa: the largest score_noise of the
/// row. One ulp of exp adds the 1.
inline double softmax_noise(double kappa, std::int64_t n) {
  return 0x1p-23 * (1 + kappa) + sum_noise(n);
}

}  // namespace flashbench::oracle

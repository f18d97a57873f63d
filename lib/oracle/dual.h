#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "core/passive.h"

namespace flashbench::oracle {

/// A number with its derivatives along four directions at once: those of Q, K, the bias and the
/// sinks.
struct Dual {
  static constexpr std::size_t kDirections = 4;
  double value = 0;
  std::array<double, kDirections> slope{};

  Dual() = default;
  explicit Dual(double x) : value(x) {}
  /// x, moving along direction `axis` at rate `rate`.
  Dual(double x, std::size_t axis, double rate) : value(x) { slope[axis] = rate; }

  Dual& operator+=(const Dual& y) {
    value += y.value;
    for (std::size_t n = 0; n < kDirections; ++n) slope[n] += y.slope[n];
    return *this;
  }
  Dual& operator*=(const Dual& y) { return *this = *this * y; }

  friend Dual operator*(const Dual& x, const Dual& y) {
    return x.chain(x.value * y.value, y.value, y, x.value);
  }
  friend Dual operator/(const Dual& x, const Dual& y) {
    const double quotient = x.value / y.value;
    return x.chain(quotient, 1 / y.value, y, -quotient / y.value);
  }
  friend Dual operator-(const Dual& x, const Dual& y) {
    return x.chain(x.value - y.value, 1, y, -1);
  }
  friend Dual exp(const Dual& x) {
    const double e = std::exp(x.value);
    return x.chain(e, e, x, 0);
  }
  friend Dual tanh(const Dual& x) {
    const double t = std::tanh(x.value);
    return x.chain(t, 1 - t * t, x, 0);
  }
  friend bool operator<(const Dual& x, const Dual& y) { return x.value < y.value; }

 private:
  /// A function of this and y: its value and its derivatives with respect to both.
  Dual chain(double result, double by_this, const Dual& y, double by_y) const {
    Dual out(result);
    for (std::size_t n = 0; n < kDirections; ++n)
      out.slope[n] = by_this * slope[n] + by_y * y.slope[n];
    return out;
  }
};

}  // namespace flashbench::oracle

template <>
struct flashbench::Passive<flashbench::oracle::Dual> {
  static oracle::Dual of(const oracle::Dual& x) { return oracle::Dual(x.value); }
};

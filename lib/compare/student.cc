#include "compare/student.h"

#include <cmath>
#include <numbers>

namespace flashbench::compare {
namespace {

/// From here on Student's t is normal to three digits at any tail that is asked for.
constexpr int kNormalFrom = 2000;

double normal_tail(double z) { return std::erfc(z / std::numbers::sqrt2) / 2; }

/// P(T > t) at t = sqrt(dof)·tan(theta): the finite sums of Abramowitz and Stegun 26.7.3, 26.7.4.
double student_tail(double theta, int dof) {
  const double sine = std::sin(theta), cosine = std::cos(theta);
  const bool odd = dof % 2 == 1;
  double term = odd ? cosine : 1;
  double sum = dof == 1 ? 0 : term;
  for (int k = odd ? 3 : 2; k <= dof - 2; k += 2) {
    term *= cosine * cosine * (k - 1) / k;
    sum += term;
  }
  const double inside =
      odd ? 2 / std::numbers::pi * (theta + (dof == 1 ? 0 : sine * sum)) : sine * sum;
  return (1 - inside) / 2;
}

template <typename Tail>
double bisect(double low, double high, double target, Tail tail) {
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (tail(middle) > target ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

double student_quantile(double tail, int dof) {
  if (dof == kKnown || dof >= kNormalFrom) return bisect(0, 40, tail, normal_tail);
  const double theta = bisect(0, std::numbers::pi / 2, tail,
                              [dof](double angle) { return student_tail(angle, dof); });
  return std::sqrt(static_cast<double>(dof)) * std::tan(theta);
}

}  // namespace flashbench::compare

#include "report/ratio.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace flashbench::report {
namespace {

/// Closer to 1 than this, the end of an interval reads as 1.00.
constexpr double kLeastDifference = 0.01;
constexpr double kPracticallyEqual = 0.02;

/// 97.5 % quantiles of Student's t for 2 to 5 samples.
constexpr std::array<double, 4> kStudent = {12.706, 4.303, 3.182, 2.776};
constexpr std::size_t kRangeHolds = 6;  ///< samples, from which on order statistics hold 95 %

int digits_of(double ratio) {
  return ratio < 0.0995 ? 3 : ratio < 9.995 ? 2 : ratio < 99.95 ? 1 : 0;
}

/// Printed with the digits of `like`, rounded down or up.
std::string rounded(double v, double like, double (*round)(double)) {
  const int digits = digits_of(like);
  const double scale = std::pow(10, digits);
  // 1.02 times 100 is a little more than 102: the last bits are no reason to round up.
  const double near = std::round(v * scale);
  const double exact = std::abs(v * scale - near) < 1e-6 ? near : round(v * scale);
  return fmt::format("{:.{}f}", exact / scale, digits);
}

}  // namespace

std::optional<std::array<double, 2>> median_interval(const Timing& t) {
  // Statistics are of the samples that nothing disturbed.
  const std::size_t n = t.times.size() - (t.disturbed ? 0 : static_cast<std::size_t>(t.marked));
  if (n < 2) return std::nullopt;
  if (n >= kRangeHolds) return t.ci95;
  const double half = kStudent[n - 2] * t.stddev / std::sqrt(static_cast<double>(n));
  return std::array{std::min(t.median - half, t.min), std::max(t.median + half, t.max)};
}

std::optional<Ratio> time_ratio(const Timing& slow, const Timing& fast) {
  const auto above = median_interval(slow), below = median_interval(fast);
  if (!above || !below || !(slow.median > 0) || !(fast.median > 0)) return std::nullopt;
  if (!((*above)[0] > 0) || !((*below)[0] > 0)) return std::nullopt;
  return Ratio{slow.median / fast.median, {(*above)[0] / (*below)[1], (*above)[1] / (*below)[0]}};
}

Ratio inverse(const Ratio& r) { return {1 / r.value, {1 / r.interval[1], 1 / r.interval[0]}}; }

Faster faster(const Ratio& r) {
  if (r.interval[0] >= 1 + kLeastDifference) return Faster::kDenominator;
  if (r.interval[1] <= 1 - kLeastDifference) return Faster::kNumerator;
  return Faster::kUnknown;
}

bool practically_equal(const Ratio& r) {
  return r.interval[0] >= 1 / (1 + kPracticallyEqual) && r.interval[1] <= 1 + kPracticallyEqual;
}

std::optional<Ratio> speedup_over(const Result& r, const std::string& type) {
  if (!conclusive(r) || !r.speedup_over || !r.speedup_ci95) return std::nullopt;
  const auto value = r.speedup_over->find(type);
  const auto interval = r.speedup_ci95->find(type);
  if (value == r.speedup_over->end() || interval == r.speedup_ci95->end()) return std::nullopt;
  return Ratio{value->second, interval->second};
}

std::string interval_text(const Ratio& r) {
  return fmt::format("[{}, {}]", rounded(r.interval[0], r.interval[0], std::floor),
                     rounded(r.interval[1], r.interval[1], std::ceil));
}

std::string ratio_text(const Ratio& r) {
  return fmt::format("{:.{}f}x {}", r.value, digits_of(r.value), interval_text(r));
}

std::string ratio_cell(const Ratio& r) {
  return faster(r) == Faster::kUnknown ? "cannot tell " + interval_text(r) : ratio_text(r);
}

}  // namespace flashbench::report

#include "measure/stop_rule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "measure/statistics.h"

namespace flashbench::measure {
namespace {

// The noise stays: after the criterion "stdrel" of nvbench, which ends a measurement whose noise
// has stopped changing. nvbench's noise is the deviation of the samples, which no number of them
// lowers; ours is how well the median is known, so that it is looked at over a fourfold growth of
// their number, in which the interval of independent samples halves.
constexpr int kFirstLook = 64;          // samples; fewer say little about an interval's width
constexpr double kLookGrowth = 1.125;   // few looks: each is a chance to be wrong
constexpr double kWindowBegins = 0.25;  // as a share of the samples so far
constexpr double kSteady = 0.05;        // deviation of the widths in it, as a share of the last
constexpr double kDrift = 2;            // |z| of a shift between its halves; 1 in 20 by chance

}  // namespace

StopRule::StopRule(const Limits& limits)
    : limits_(limits), next_look_(std::max(kFirstLook, limits.min_samples)) {}

void StopRule::add(double per_iteration_s, double sample_s) {
  sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), per_iteration_s),
                 per_iteration_s);
  in_order_.push_back(per_iteration_s);
  half_widths_.push_back(half_width());
  timed_s_ += sample_s;
  if (count() < next_look_) return;
  noise_stays_ = stopped_narrowing();
  next_look_ = static_cast<int>(std::ceil(count() * kLookGrowth));
}

double StopRule::median_s() const { return sorted_.empty() ? 0 : quantile_sorted(sorted_, 0.5); }

double StopRule::half_width() const {
  const std::array<double, 2> ci = median_ci95(sorted_);
  return (ci[1] - ci[0]) / 2;
}

double StopRule::noise() const {
  if (sorted_.size() < 2 || !(median_s() > 0)) return std::numeric_limits<double>::infinity();
  return half_width() / median_s();
}

bool StopRule::enough() const {
  return count() >= limits_.min_samples && timed_s_ >= limits_.min_time_s;
}

bool StopRule::satisfied() const { return enough() && noise() <= limits_.max_noise; }

bool StopRule::stopped_narrowing() const {
  if (!enough()) return false;
  const std::size_t n = in_order_.size();
  const std::size_t begin = static_cast<std::size_t>(static_cast<double>(n) * kWindowBegins);
  const double now = half_widths_.back();
  double squares = 0;
  for (std::size_t i = begin; i < n; ++i)
    squares += (half_widths_[i] - now) * (half_widths_[i] - now);
  if (std::sqrt(squares / static_cast<double>(n - begin)) > kSteady * now) return false;
  const std::span<const double> window = std::span(in_order_).subspan(begin);
  const std::size_t half = window.size() / 2;
  return std::abs(rank_shift(window.first(half), window.subspan(half))) < kDrift;
}

bool StopRule::may_time_out() const { return count() >= limits_.timeout_samples; }

double StopRule::samples_left() const {
  if (satisfied() || noise_stays()) return 0;
  if (count() == 0) return limits_.min_samples;
  const double n = count();
  double needed = std::max(limits_.min_samples - n, 1.0);
  const double sample_s = timed_s_ / n;
  if (sample_s > 0) needed = std::max(needed, (limits_.min_time_s - timed_s_) / sample_s);
  if (limits_.max_noise > 0 && std::isfinite(noise()))
    needed = std::max(needed, n * (std::pow(noise() / limits_.max_noise, 2) - 1));
  return std::ceil(needed);
}

}  // namespace flashbench::measure

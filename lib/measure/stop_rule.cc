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
// their number, in which the interval of independent samples halves. Where it does, the samples'
// own spread is what nvbench looks at: once that is settled, the number of samples that the target
// takes is known, too.
constexpr int kFirstLook = 64;          // samples; fewer say little about an interval's width
constexpr double kLookGrowth = 1.125;   // few looks: each is a chance to be wrong
constexpr double kWindowBegins = 0.25;  // as a share of the samples so far
constexpr double kSteady = 0.05;        // deviation of the widths in it, as a share of the last
constexpr double kSettled = 0.1;        // the same of the samples' spread, which varies by chance
constexpr int kSpreadKnown = 128;       // samples; fewer hide that a spread still falls
constexpr double kFalls = 0.5;          // z by which deviations are smaller in the later half
constexpr double kBeyond = 2;           // samples needed over those that fit: out of reach
constexpr int kDisturbedLook = 16;  // samples of which the share of disturbed ones says something
constexpr double kDrift = 2;        // |z| of a shift between its halves; 1 in 20 by chance

double rms_deviation(std::span<const double> values, double from) {
  double squares = 0;
  for (const double v : values) squares += (v - from) * (v - from);
  return std::sqrt(squares / static_cast<double>(values.size()));
}

double quartile_distance(std::span<const double> sorted) {
  return quantile_sorted(sorted, 0.75) - quantile_sorted(sorted, 0.25);
}

/// rank_shift() of the second half of a series against the first.
double shift_between_halves(std::span<const double> series) {
  const std::size_t half = series.size() / 2;
  return rank_shift(series.first(half), series.subspan(half));
}

std::span<const double> tail(std::span<const double> values) {
  return values.subspan(
      static_cast<std::size_t>(static_cast<double>(values.size()) * kWindowBegins));
}

}  // namespace

StopRule::StopRule(const Limits& limits)
    : limits_(limits), next_look_(std::max(kFirstLook, limits.min_samples)) {}

void StopRule::add(double per_iteration_s, double sample_s) {
  sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), per_iteration_s),
                 per_iteration_s);
  in_order_.push_back(per_iteration_s);
  half_widths_.push_back(half_width());
  spreads_.push_back(quartile_distance(sorted_));
  timed_s_ += sample_s;
  if (count() < next_look_) return;
  noise_stays_ = stopped_narrowing();
  spread_settled_ = spread_settled();
  next_look_ = static_cast<int>(std::ceil(count() * kLookGrowth));
}

void StopRule::add_disturbed(double sample_s) {
  ++disturbed_;
  timed_s_ += sample_s;
}

bool StopRule::too_disturbed(double fit) const {
  const int all = count() + disturbed_;
  if (all < kDisturbedLook) return false;
  const double share = (count() + 1.0) / (all + 2.0);  // Laplace: none seen is not never
  return count() + share * fit < limits_.min_samples;
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

bool StopRule::drifts() const { return std::abs(shift_between_halves(tail(in_order_))) >= kDrift; }

bool StopRule::stopped_narrowing() const {
  if (!enough()) return false;
  const double now = half_widths_.back();
  return rms_deviation(tail(half_widths_), now) <= kSteady * now && !drifts();
}

bool StopRule::spread_settled() const {
  if (!enough() || count() < kSpreadKnown) return false;
  const double now = spreads_.back();
  if (rms_deviation(tail(spreads_), now) > kSettled * now || drifts()) return false;
  std::vector<double> deviations;
  for (const double t : tail(in_order_)) deviations.push_back(std::abs(t - median_s()));
  return shift_between_halves(deviations) > -kFalls;
}

bool StopRule::out_of_reach(double fit) const {
  return spread_settled_ && !satisfied() && samples_needed() > kBeyond * fit;
}

bool StopRule::may_time_out() const { return count() + disturbed_ >= limits_.timeout_samples; }

double StopRule::samples_left() const {
  return satisfied() || noise_stays() ? 0 : samples_needed();
}

double StopRule::samples_needed() const {
  if (count() == 0) return limits_.min_samples;
  const double n = count();
  double needed = std::max(limits_.min_samples - n, 1.0);
  const double sample_s = timed_s_ / (n + disturbed_);
  if (sample_s > 0) needed = std::max(needed, (limits_.min_time_s - timed_s_) / sample_s);
  if (limits_.max_noise > 0 && std::isfinite(noise()))
    needed = std::max(needed, n * (std::pow(noise() / limits_.max_noise, 2) - 1));
  return std::ceil(needed * (n + disturbed_) / n);
}

}  // namespace flashbench::measure

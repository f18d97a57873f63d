#include "measure/stop_rule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "measure/statistics.h"

namespace flashbench::measure {

void StopRule::add(double per_iteration_s, double sample_s) {
  sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), per_iteration_s),
                 per_iteration_s);
  timed_s_ += sample_s;
}

double StopRule::median_s() const { return sorted_.empty() ? 0 : quantile_sorted(sorted_, 0.5); }

double StopRule::noise() const {
  if (sorted_.size() < 2 || !(median_s() > 0)) return std::numeric_limits<double>::infinity();
  const std::array<double, 2> ci = median_ci95(sorted_);
  return (ci[1] - ci[0]) / 2 / median_s();
}

bool StopRule::satisfied() const {
  return count() >= limits_.min_samples && timed_s_ >= limits_.min_time_s &&
         noise() <= limits_.max_noise;
}

bool StopRule::may_time_out() const { return count() >= limits_.timeout_samples; }

double StopRule::samples_left() const {
  if (satisfied()) return 0;
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

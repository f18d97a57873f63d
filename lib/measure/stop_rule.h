#pragma once

#include <span>
#include <vector>

#include "measure/limits.h"

namespace flashbench::measure {

/// Decides for one subject when its samples suffice. Pure: it sees numbers, no clock.
class StopRule {
 public:
  explicit StopRule(const Limits& limits) : limits_(limits) {}

  /// `per_iteration_s`: the sample; `sample_s`: how long it took, all its iterations together.
  void add(double per_iteration_s, double sample_s);

  /// Enough samples, enough time, and the median is known to max_noise.
  bool satisfied() const;
  /// Enough samples to stop because time is over.
  bool may_time_out() const;

  /// Half-width of the 95 % interval of the median as a share of it; +inf below 2 samples.
  double noise() const;
  double median_s() const;
  /// Samples still needed, estimated from the noise falling with the root of their number.
  double samples_left() const;
  int count() const { return static_cast<int>(sorted_.size()); }

 private:
  Limits limits_;
  std::vector<double> sorted_;
  double timed_s_ = 0;
};

}  // namespace flashbench::measure

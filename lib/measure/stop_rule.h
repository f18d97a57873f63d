#pragma once

#include <span>
#include <vector>

#include "measure/limits.h"

namespace flashbench::measure {

/// Decides for one subject when its samples suffice. Pure: it sees numbers, no clock.
class StopRule {
 public:
  explicit StopRule(const Limits& limits);

  /// `per_iteration_s`: the sample; `sample_s`: how long it took, all its iterations together.
  void add(double per_iteration_s, double sample_s);
  /// One that others disturbed: it says nothing but that, and counts for the time only.
  void add_disturbed(double sample_s);

  /// Enough samples, enough time, and the median is known to max_noise.
  bool satisfied() const;
  /// Enough samples and time, and the interval of the median has stopped narrowing although it is
  /// wider than max_noise: more samples would not reach it. So it is where times have two levels,
  /// each half of the samples; not where the noise is of one level, whose interval narrows with the
  /// root of their number; and not where times drift, which says that the machine has not settled.
  /// Decided at 64 samples and whenever their number has grown by an eighth, and kept in between.
  bool noise_stays() const { return noise_stays_ && !satisfied(); }
  /// Enough samples and time, and the spread of the samples, which no number of them lowers, is
  /// settled, and at that spread max_noise is more than twice as many samples away as still fit
  /// into the time. A spread that still falls, and times that drift, are not settled. Looked at
  /// when noise_stays() is. `fit`: how many more samples there is time for.
  bool out_of_reach(double fit) const;
  /// So few samples are undisturbed that not even min_samples of them will be, in the time that is
  /// left. `fit`: how many more samples, of both kinds, there is time for.
  bool too_disturbed(double fit) const;
  /// Enough samples to stop because time is over.
  bool may_time_out() const;

  /// Half-width of the 95 % interval of the median as a share of it; +inf below 2 samples.
  double noise() const;
  double median_s() const;
  /// Samples still needed (none where the noise stays), estimated from the noise falling with the
  /// root of their number.
  double samples_left() const;
  /// Of undisturbed samples.
  int count() const { return static_cast<int>(sorted_.size()); }

 private:
  bool enough() const;
  double half_width() const;
  bool stopped_narrowing() const;
  bool spread_settled() const;
  bool drifts() const;
  double samples_needed() const;

  Limits limits_;
  std::vector<double> sorted_, in_order_;
  std::vector<double> half_widths_;  ///< of the median's interval after each sample
  std::vector<double> spreads_;      ///< distance of the quartiles after each sample
  int next_look_;                    ///< number of samples at which these two are decided next
  bool noise_stays_ = false, spread_settled_ = false;
  int disturbed_ = 0;
  double timed_s_ = 0;
};

}  // namespace flashbench::measure

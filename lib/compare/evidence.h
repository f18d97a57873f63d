#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "compare/student.h"

namespace flashbench::compare {

/// Of a ratio of times, new over base.
struct Interval {
  double low = 0, high = 0;  ///< 0 and +inf where nothing can be said
};

/// What a run adds to the logarithm of every time it takes: its place in memory, the clocks and the
/// load of that moment.
struct Spread {
  double sigma = 0;  ///< standard deviation of ln(median) from run to run
  int dof = kKnown;  ///< of the estimate
};

/// Of the difference of two runs (Welch and Satterthwaite's degrees of freedom).
Spread combined(const Spread& a, const Spread& b);

/// By how much the true logarithm of a ratio may lie below and above the measured one because the
/// machine changed: a bias, which does not average out and adds to whatever noise leaves open.
struct Shift {
  double low = 0, high = 0;  ///< low <= 0 <= high; infinite where nothing bounds it
};

/// How much slower one case is, and how well that is known. Seeded: the same samples give the same
/// intervals, bit by bit.
class Evidence {
 public:
  /// Fewer are not resampled: their logarithms are taken as normal, and Student's t makes the
  /// interval of so few as wide as it must be.
  static constexpr std::size_t kLeastResampled = 5;
  /// One says nothing.
  static constexpr std::size_t kLeastRounds = 2;

  /// Both sides were timed in every round, so that drift hits both: the ratio is the median over
  /// rounds of ln(new / base), and rounds are what is resampled. `least_block`: rounds that depend
  /// on each other at least.
  static Evidence from_rounds(std::span<const double> log_ratios, std::size_t least_block);

  /// Two runs, one after the other: the ratio of their medians. Blocks of either are resampled on
  /// their own; `between` is added, because samples of one run cannot show what the run itself
  /// adds, and `shift`, for what changed between them. Times in seconds, positive, in the order
  /// taken.
  static Evidence from_runs(std::span<const double> base_s, std::span<const double> new_s,
                            const Spread& between, const Shift& shift = {});

  /// Both sides have a time, and nothing tells how far off they are.
  static Evidence none(double base_s, double new_s);

  double ratio() const;

  /// Holds the true ratio with probability 1 - alpha.
  Interval interval(double alpha) const;

 private:
  double log_ratio_ = 0;
  std::vector<double> replicates_;  ///< of log_ratio_, ascending; empty below kLeastResampled
  Spread few_{-1};                  ///< of log_ratio_ then; below 0 where one sample is all
  double blocks_ = 0;               ///< independent ones, of the side that has fewer
  Spread between_;
  Shift shift_;
};

/// Blocks within a run of n samples, at least: the usual n^(1/3).
std::size_t usual_block(std::size_t n);

}  // namespace flashbench::compare

#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace flashbench::measure {

/// What the raw samples say, in the unit of the samples. No sample is left out.
struct Statistics {
  std::size_t count = 0;
  double min = 0, max = 0, median = 0, mean = 0;
  double stddev = 0;  ///< of the sample (n - 1); 0 for one sample
  double mad = 0;     ///< median absolute deviation from the median, not scaled
  double p25 = 0, p75 = 0;
  std::array<double, 2> ci95{};  ///< of the median, see median_ci95()

  double half_width() const { return (ci95[1] - ci95[0]) / 2; }
  /// Half-width of the interval as a share of the median; +inf for a single sample, which says
  /// nothing about its noise, and where the median is not positive.
  double noise() const;
};

/// `samples` in any order. Throws std::invalid_argument when empty: there is no statistic of
/// nothing.
Statistics summarize(std::span<const double> samples);

/// Linear interpolation between order statistics (Hyndman and Fan's type 7, numpy's default).
/// `sorted` ascending and not empty, 0 <= q <= 1.
double quantile_sorted(std::span<const double> sorted, double q);

double median(std::span<const double> samples);

/// Rank k (from 1) of the order statistics [x_(k), x_(n+1-k)] that hold the median of any
/// continuous distribution with at least 95 %: the largest k with 2 P(Bin(n, 1/2) < k) <= 0.05.
/// Below 6 samples no k does, and the answer is 1: the whole range, which holds the median with
/// 1 - 2^(1-n) (93.8 % for 5 samples, 75 % for 3, nothing for 1).
std::size_t median_ci95_rank(std::size_t n);

/// The interval itself. `sorted` ascending and not empty.
std::array<double, 2> median_ci95(std::span<const double> sorted);

/// How surely the values of `second` are larger than those of `first` (below 0: smaller): z of the
/// rank-sum test of Mann and Whitney, with the correction for ties. Where both come from one
/// distribution, |z| stays below 2 with 95 %. 0 where one of them is empty or all values are equal.
double rank_shift(std::span<const double> first, std::span<const double> second);

}  // namespace flashbench::measure

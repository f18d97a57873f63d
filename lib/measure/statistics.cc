#include "measure/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace flashbench::measure {
namespace {

constexpr double kTail = 0.05 / 2;
constexpr std::size_t kExactUpTo = 1000;

/// Sums P(Bin(n, 1/2) = i) from i = 0 while the sum stays within the tail; n up to kExactUpTo keeps
/// 2^-n a normal number.
std::size_t exact_rank(std::size_t n) {
  double probability = std::exp2(-static_cast<double>(n));
  double below = 0;
  std::size_t k = 0;
  while (below + probability <= kTail) {
    below += probability;
    probability *= static_cast<double>(n - k) / static_cast<double>(k + 1);
    ++k;
  }
  return k;
}

}  // namespace

std::size_t median_ci95_rank(std::size_t n) {
  if (n <= kExactUpTo) return std::max<std::size_t>(exact_rank(n), 1);
  // Normal approximation with continuity correction; exact to a rank at this size.
  const double size = static_cast<double>(n);
  return static_cast<std::size_t>(std::floor((size + 1 - 1.959963984540054 * std::sqrt(size)) / 2));
}

std::array<double, 2> median_ci95(std::span<const double> sorted) {
  const std::size_t k = median_ci95_rank(sorted.size());
  return {sorted[k - 1], sorted[sorted.size() - k]};
}

double quantile_sorted(std::span<const double> sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], position - static_cast<double>(below));
}

double median(std::span<const double> samples) {
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  return quantile_sorted(sorted, 0.5);
}

double Statistics::noise() const {
  if (count < 2 || !(median > 0)) return std::numeric_limits<double>::infinity();
  return half_width() / median;
}

Statistics summarize(std::span<const double> samples) {
  if (samples.empty()) throw std::invalid_argument("no samples to summarize");
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  const double n = static_cast<double>(sorted.size());

  Statistics s;
  s.count = sorted.size();
  s.min = sorted.front();
  s.max = sorted.back();
  s.median = quantile_sorted(sorted, 0.5);
  s.p25 = quantile_sorted(sorted, 0.25);
  s.p75 = quantile_sorted(sorted, 0.75);
  s.ci95 = median_ci95(sorted);
  // Deviations from the minimum: no cancellation, and equal samples have exactly no spread.
  double sum = 0;
  for (const double x : sorted) sum += x - s.min;
  s.mean = s.min + sum / n;
  double squares = 0;
  for (const double x : sorted) squares += (x - s.mean) * (x - s.mean);
  if (sorted.size() > 1) s.stddev = std::sqrt(squares / (n - 1));
  for (double& x : sorted) x = std::abs(x - s.median);
  std::sort(sorted.begin(), sorted.end());
  s.mad = quantile_sorted(sorted, 0.5);
  return s;
}

double rank_shift(std::span<const double> first, std::span<const double> second) {
  struct Value {
    double value;
    bool of_second;
  };
  std::vector<Value> all;
  for (const double x : first) all.push_back({x, false});
  for (const double x : second) all.push_back({x, true});
  std::sort(all.begin(), all.end(),
            [](const Value& a, const Value& b) { return a.value < b.value; });
  double ranks_of_second = 0, ties = 0;
  for (std::size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    double members = 0;
    for (end = begin; end < all.size() && all[end].value == all[begin].value; ++end)
      members += all[end].of_second ? 1 : 0;
    const double equal = static_cast<double>(end - begin);
    // Equal values share the mean of their ranks, which are begin + 1 ... end.
    ranks_of_second += members * static_cast<double>(begin + end + 1) / 2;
    ties += equal * (equal * equal - 1);
  }
  const double m = static_cast<double>(first.size()), n = static_cast<double>(second.size());
  const double variance = m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1)));
  if (!(variance > 0)) return 0;  // also where a set is empty, which makes it 0 or no number
  return (ranks_of_second - n * (m + n + 1) / 2) / std::sqrt(variance);
}

}  // namespace flashbench::measure

#include "compare/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "measure/statistics.h"

namespace flashbench::compare {
namespace {

constexpr std::size_t kLeastBlocks = 5;

/// Uniform in [0, n). The bias of the multiplication is below n / 2^32.
std::size_t draw_below(std::size_t n, Random& random) {
  return static_cast<std::size_t>(((random() >> 32) * static_cast<std::uint64_t>(n)) >> 32);
}

/// 1 + 2·sum of autocorrelations of "above or below the median", which is what moves a median; the
/// sum ends at the first that chance alone explains.
double autocorrelation_time(std::span<const double> series) {
  const std::size_t n = series.size();
  const double middle = measure::median(series);
  std::vector<double> side(n);
  for (std::size_t i = 0; i < n; ++i)
    side[i] = series[i] > middle ? 1 : series[i] < middle ? -1 : 0;
  const double variance = std::inner_product(side.begin(), side.end(), side.begin(), 0.0);
  if (variance == 0) return 1;
  const double chance = 2 / std::sqrt(static_cast<double>(n));
  double time = 1;
  for (std::size_t lag = 1; lag < n / 2; ++lag) {
    const double correlation = std::inner_product(side.begin() + static_cast<std::ptrdiff_t>(lag),
                                                  side.end(), side.begin(), 0.0) /
                               variance;
    if (correlation < chance) break;
    time += 2 * correlation;
  }
  return time;
}

}  // namespace

std::size_t block_length(std::span<const double> series, std::size_t least) {
  const std::size_t most = std::max<std::size_t>(series.size() / kLeastBlocks, 1);
  if (series.size() < 2 * kLeastBlocks) return 1;
  const double time = autocorrelation_time(series);
  const auto wanted = time > 1 ? static_cast<std::size_t>(std::ceil(2 * time)) : least;
  return std::min(std::max(wanted, least), most);
}

std::vector<double> bootstrap_medians(std::span<const double> series, std::size_t block,
                                      std::size_t replicates, Random& random) {
  const std::size_t n = series.size();
  std::vector<double> sorted(series.begin(), series.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::size_t> rank(n);
  for (std::size_t i = 0; i < n; ++i)
    rank[i] = static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), series[i]) -
                                       sorted.begin());

  // A resample is counted by rank, so that its median is found without sorting it.
  std::vector<std::uint32_t> count(n);
  const std::size_t lower = (n - 1) / 2, upper = n / 2;
  std::vector<double> medians(replicates);
  for (double& median : medians) {
    std::fill(count.begin(), count.end(), 0);
    for (std::size_t filled = 0; filled < n;) {
      std::size_t at = draw_below(n, random);
      for (std::size_t i = 0; i < block && filled < n; ++i, ++filled) {
        ++count[rank[at]];
        if (++at == n) at = 0;
      }
    }
    std::size_t seen = 0, r = 0;
    while (seen + count[r] <= lower) seen += count[r++];
    const double below = sorted[r];
    while (seen + count[r] <= upper) seen += count[r++];
    median = (below + sorted[r]) / 2;
  }
  return medians;
}

}  // namespace flashbench::compare

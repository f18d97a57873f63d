#include "compare/evidence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compare/bootstrap.h"
#include "measure/statistics.h"

namespace flashbench::compare {
namespace {

constexpr std::size_t kReplicates = 4000;

/// Quantiles further out rest on fewer than 40 resamples; beyond, the tail is taken as normal.
constexpr double kTrustedTail = 0.01;

/// Deviation of the median of many normal values over that of their mean, sqrt(pi / 2); of few,
/// less.
constexpr double kMedianOverMean = 1.2534;

constexpr std::uint64_t kSeed = 0x666c617368;

double count_blocks(std::size_t n, std::size_t block) {
  return static_cast<double>(n) / static_cast<double>(block);
}

std::vector<double> logs(std::span<const double> values) {
  std::vector<double> out(values.begin(), values.end());
  for (double& v : out) v = std::log(v);
  return out;
}

/// Of the median of few values: that of their mean, and at most a quarter more. So few that are
/// equal hide their spread.
Spread spread_of_few(std::span<const double> values) {
  if (values.size() < Evidence::kLeastRounds) return {-1};
  const auto n = static_cast<double>(values.size());
  const double deviation = measure::summarize(values).stddev;
  if (deviation == 0) return {-1};
  return {kMedianOverMean * deviation / std::sqrt(n), static_cast<int>(values.size()) - 1};
}

}  // namespace

Spread combined(const Spread& a, const Spread& b) {
  const double va = a.sigma * a.sigma, vb = b.sigma * b.sigma;
  const double share =
      (a.dof == kKnown ? 0 : va * va / a.dof) + (b.dof == kKnown ? 0 : vb * vb / b.dof);
  const double sum = va + vb;
  const int dof = share == 0 ? kKnown : std::max(1, static_cast<int>(sum * sum / share));
  return {std::sqrt(sum), dof};
}

std::size_t usual_block(std::size_t n) {
  return std::max<std::size_t>(1, static_cast<std::size_t>(std::cbrt(static_cast<double>(n))));
}

Evidence Evidence::from_rounds(std::span<const double> log_ratios, std::size_t least_block) {
  Evidence e;
  e.log_ratio_ = measure::median(log_ratios);
  if (log_ratios.size() < kLeastResampled) {
    e.few_ = spread_of_few(log_ratios);
    return e;
  }
  Random random(kSeed);
  const std::size_t block = block_length(log_ratios, least_block);
  e.replicates_ = bootstrap_medians(log_ratios, block, kReplicates, random);
  e.blocks_ = count_blocks(log_ratios.size(), block);
  std::sort(e.replicates_.begin(), e.replicates_.end());
  return e;
}

Evidence Evidence::from_runs(std::span<const double> base_s, std::span<const double> new_s,
                             const Spread& between, const Shift& shift) {
  const std::vector<double> base = logs(base_s), fresh = logs(new_s);
  Evidence e;
  e.log_ratio_ = measure::median(fresh) - measure::median(base);
  e.between_ = between;
  e.shift_ = shift;
  if (std::min(base.size(), fresh.size()) < kLeastResampled) {
    const Spread of_base = spread_of_few(base), of_new = spread_of_few(fresh);
    if (of_base.sigma >= 0 && of_new.sigma >= 0) e.few_ = combined(of_base, of_new);
    return e;
  }
  Random random(kSeed);
  const std::size_t base_block = block_length(base, usual_block(base.size()));
  const std::size_t new_block = block_length(fresh, usual_block(fresh.size()));
  const std::vector<double> base_medians = bootstrap_medians(base, base_block, kReplicates, random);
  e.replicates_ = bootstrap_medians(fresh, new_block, kReplicates, random);
  for (std::size_t i = 0; i < kReplicates; ++i) e.replicates_[i] -= base_medians[i];
  e.blocks_ =
      std::min(count_blocks(base.size(), base_block), count_blocks(fresh.size(), new_block));
  std::sort(e.replicates_.begin(), e.replicates_.end());
  return e;
}

Evidence Evidence::none(double base_s, double new_s) {
  Evidence e;
  e.log_ratio_ = std::log(new_s / base_s);
  return e;
}

double Evidence::ratio() const { return std::exp(log_ratio_); }

Interval Evidence::interval(double alpha) const {
  const double tail = alpha / 2;
  const double run =
      between_.sigma == 0 ? 0 : between_.sigma * student_quantile(tail, between_.dof);
  if (replicates_.empty()) {
    if (few_.sigma < 0) return {0, std::numeric_limits<double>::infinity()};
    const double half = std::hypot(few_.sigma * student_quantile(tail, few_.dof), run);
    return {std::exp(log_ratio_ + shift_.low - half), std::exp(log_ratio_ + shift_.high + half)};
  }
  const double trusted = std::max(tail, kTrustedTail);
  // Resampling few blocks shows too little spread, and its own is uncertain: as for a mean, a
  // factor n / (n - 1) of the variance, and Student's t in the place of the normal distribution.
  const double widen = student_quantile(tail, std::max(1, static_cast<int>(blocks_) - 1)) /
                       student_quantile(trusted, kKnown) * std::sqrt(blocks_ / (blocks_ - 1));
  const double below = log_ratio_ - measure::quantile_sorted(replicates_, trusted);
  const double above = measure::quantile_sorted(replicates_, 1 - trusted) - log_ratio_;
  return {std::exp(log_ratio_ + shift_.low - std::hypot(std::max(below, 0.0) * widen, run)),
          std::exp(log_ratio_ + shift_.high + std::hypot(std::max(above, 0.0) * widen, run))};
}

}  // namespace flashbench::compare

#include "measure/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

namespace flashbench::measure {
namespace {

TEST(Statistics, KnownSampleInAnyOrder) {
  // numpy: np.percentile([...], [25, 50, 75]) = 2.25, 3.5, 6.25; np.std(ddof=1)
  // = 2.6583202716502514
  const std::vector<double> samples = {8, 2, 3, 7, 1, 4};
  const Statistics s = summarize(samples);
  EXPECT_EQ(s.count, 6u);
  EXPECT_DOUBLE_EQ(s.min, 1);
  EXPECT_DOUBLE_EQ(s.max, 8);
  EXPECT_DOUBLE_EQ(s.median, 3.5);
  EXPECT_DOUBLE_EQ(s.p25, 2.25);
  EXPECT_DOUBLE_EQ(s.p75, 6.25);
  EXPECT_NEAR(s.mean, 25.0 / 6, 1e-15);
  const double squares = 64 + 4 + 9 + 49 + 1 + 16 - 25.0 * 25.0 / 6;
  EXPECT_NEAR(s.stddev, std::sqrt(squares / 5), 1e-14);
  EXPECT_DOUBLE_EQ(s.mad, 2.0);  // deviations 4.5 1.5 0.5 3.5 2.5 0.5
  EXPECT_DOUBLE_EQ(s.ci95[0], 1);
  EXPECT_DOUBLE_EQ(s.ci95[1], 8);
}

TEST(Statistics, OneSampleKnowsNothingOfItsNoise) {
  const Statistics s = summarize(std::vector<double>{0.25});
  EXPECT_DOUBLE_EQ(s.median, 0.25);
  EXPECT_DOUBLE_EQ(s.stddev, 0);
  EXPECT_DOUBLE_EQ(s.p75, 0.25);
  EXPECT_EQ(s.ci95[0], s.ci95[1]);
  EXPECT_TRUE(std::isinf(s.noise())) << "zero width here must not read as zero noise";
}

TEST(Statistics, EqualSamplesHaveExactlyNoSpread) {
  const Statistics s = summarize(std::vector<double>(7, 0.1));
  EXPECT_EQ(s.mean, 0.1);
  EXPECT_EQ(s.stddev, 0.0);
  EXPECT_EQ(s.noise(), 0.0);
}

TEST(Statistics, NothingIsRefused) {
  EXPECT_THROW(summarize(std::vector<double>{}), std::invalid_argument);
}

// Ranks from the binomial distribution (e.g. Conover, Practical Nonparametric Statistics, table
// A3).
TEST(Statistics, MedianIntervalRanks) {
  const std::pair<std::size_t, std::size_t> known[] = {
      {1, 1},  {3, 1},  {5, 1},  {6, 1},  {8, 1},   {9, 2},   {10, 2},   {11, 2},
      {12, 3}, {15, 4}, {20, 6}, {25, 8}, {30, 10}, {50, 18}, {100, 40},
  };
  for (const auto& [n, rank] : known) EXPECT_EQ(median_ci95_rank(n), rank) << "n = " << n;
}

TEST(Statistics, ApproximateRankContinuesTheExactOne) {
  const std::size_t exact = median_ci95_rank(1000);
  const std::size_t approximate = median_ci95_rank(1002);
  EXPECT_GE(approximate, exact);
  EXPECT_LE(approximate, exact + 2);
}

TEST(Statistics, MedianIntervalCoversAtLeast95Percent) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> skewed(0, 1);  // as times are; its median is 1
  for (const int n : {6, 10, 17, 40}) {
    int covered = 0;
    constexpr int kTrials = 4000;
    for (int t = 0; t < kTrials; ++t) {
      std::vector<double> samples(static_cast<std::size_t>(n));
      for (double& x : samples) x = skewed(random);
      const Statistics s = summarize(samples);
      covered += s.ci95[0] <= 1 && 1 <= s.ci95[1];
    }
    EXPECT_GE(covered, 0.94 * kTrials) << "n = " << n;
  }
}

TEST(Statistics, QuantilesInterpolate) {
  const std::vector<double> sorted = {1, 2, 4};
  EXPECT_DOUBLE_EQ(quantile_sorted(sorted, 0), 1);
  EXPECT_DOUBLE_EQ(quantile_sorted(sorted, 0.5), 2);
  EXPECT_DOUBLE_EQ(quantile_sorted(sorted, 0.75), 3);
  EXPECT_DOUBLE_EQ(quantile_sorted(sorted, 1), 4);
}

TEST(Statistics, RankShiftTellsDirectionAndCertainty) {
  const std::vector<double> low = {1, 2, 3, 4}, high = {5, 6, 7, 8};
  // U = 16 of mean 8; variance 4 * 4 * 9 / 12.
  EXPECT_DOUBLE_EQ(rank_shift(low, high), 8 / std::sqrt(12.0));
  EXPECT_DOUBLE_EQ(rank_shift(high, low), -8 / std::sqrt(12.0));
}

TEST(Statistics, RankShiftCountsTiesHalf) {
  const std::vector<double> first = {1, 2, 2}, second = {2, 3, 3};
  // U = 8 of mean 4.5; ties of 3 and 2 take 30 / (6 * 5) from 7.
  EXPECT_DOUBLE_EQ(rank_shift(first, second), 3.5 / std::sqrt(9.0 / 12 * (7 - 1)));
  const std::vector<double> equal = {2, 2, 2};
  EXPECT_EQ(rank_shift(equal, equal), 0);
  EXPECT_EQ(rank_shift(equal, {}), 0);
  EXPECT_EQ(rank_shift({}, {}), 0);
}

}  // namespace
}  // namespace flashbench::measure

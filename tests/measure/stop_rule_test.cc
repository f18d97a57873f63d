#include "measure/stop_rule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "measure/statistics.h"

namespace flashbench::measure {
namespace {

StopRule fed(const Limits& limits, int n, double base, double spread) {
  StopRule rule(limits);
  // Symmetric around base: base - spread ... base + spread.
  for (int i = 0; i < n; ++i) {
    const double x = base + spread * (n == 1 ? 0 : 2.0 * i / (n - 1) - 1);
    rule.add(x, x);
  }
  return rule;
}

TEST(StopRule, QuietSamplesStopAtTheMinimum) {
  const Limits limits;
  EXPECT_FALSE(fed(limits, 9, 0.1, 0).satisfied()) << "9 samples are fewer than 10";
  EXPECT_TRUE(fed(limits, 10, 0.1, 0).satisfied());
}

TEST(StopRule, FastCallsWaitForTheMinimumTime) {
  const Limits limits;
  EXPECT_FALSE(fed(limits, 20, 0.001, 0).satisfied()) << "20 ms of samples are less than 0.5 s";
  EXPECT_TRUE(fed(limits, 501, 0.001, 0).satisfied());
}

TEST(StopRule, BatchedSamplesCountTheirWholeTime) {
  StopRule rule(Limits{});
  for (int i = 0; i < 100; ++i) rule.add(1e-6, 0.01);
  EXPECT_TRUE(rule.satisfied()) << "100 samples of 10 ms are a second, whatever one call takes";
  EXPECT_DOUBLE_EQ(rule.median_s(), 1e-6);
}

TEST(StopRule, NoisySamplesGoOn) {
  const Limits limits;
  const StopRule noisy = fed(limits, 12, 1.0, 0.2);
  EXPECT_FALSE(noisy.satisfied());
  EXPECT_GT(noisy.noise(), limits.max_noise);
  EXPECT_TRUE(noisy.may_time_out());
  EXPECT_GT(noisy.samples_left(), 12) << "noise must fall tenfold: a hundredfold of samples";
}

TEST(StopRule, LooserNoiseIsAccepted) {
  Limits limits;
  limits.max_noise = 0.5;
  EXPECT_TRUE(fed(limits, 12, 1.0, 0.2).satisfied());
}

TEST(StopRule, NoiseIsTheIntervalOfTheStatistics) {
  StopRule rule(Limits{});
  std::vector<double> samples;
  for (int i = 0; i < 31; ++i) {
    const double x = 1 + 0.01 * ((i * 17) % 31);
    samples.push_back(x);
    rule.add(x, x);
  }
  EXPECT_DOUBLE_EQ(rule.noise(), summarize(samples).noise());
}

TEST(StopRule, TwoSamplesMayNotTimeOut) {
  EXPECT_FALSE(fed(Limits{}, 2, 30.0, 0).may_time_out());
  EXPECT_TRUE(fed(Limits{}, 3, 30.0, 0).may_time_out());
}

TEST(StopRule, OneSampleIsNotQuiet) {
  Limits limits;
  limits.min_samples = 1;
  limits.min_time_s = 0;
  EXPECT_TRUE(std::isinf(fed(limits, 1, 1.0, 0).noise()));
  EXPECT_FALSE(fed(limits, 1, 1.0, 0).satisfied());
}

TEST(StopRule, BrokenClockNeverSatisfies) {
  const StopRule rule = fed(Limits{}, 50, 0.0, 0);
  EXPECT_FALSE(rule.satisfied());
}

}  // namespace
}  // namespace flashbench::measure

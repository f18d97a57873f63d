#include "measure/stop_rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

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

/// Time i of a sequence of noisy ones.
using Times = std::function<double(int i, std::mt19937& random)>;

/// Samples until the noise stays, of at most `most`; `most` + 1 where it never does. Stops before
/// that, with 0, where the rule is satisfied.
int samples_until_noise_stays(const Limits& limits, int most, unsigned seed, const Times& time) {
  StopRule rule(limits);
  std::mt19937 random(seed);
  for (int n = 1; n <= most; ++n) {
    const double x = time(n - 1, random);
    rule.add(x, x);
    if (rule.satisfied()) return 0;
    if (rule.noise_stays()) return n;
  }
  return most + 1;
}

double uniform(std::mt19937& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

/// Alternates between two levels, 20 % apart: the interval spans both, however many samples.
double two_levels(int i, std::mt19937& random) {
  return (i % 2 == 0 ? 0.010 : 0.012) * uniform(random, 0.999, 1.001);
}

TEST(StopRule, NoiseThatStaysEndsSampling) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const int n = samples_until_noise_stays(Limits{}, 2000, seed, two_levels);
    EXPECT_GE(n, 64) << seed;
    EXPECT_LE(n, 200) << seed;
  }
}

TEST(StopRule, NoiseThatStillFallsGoesOn) {
  const auto spread = [](int, std::mt19937& random) {
    return std::max(0.001, std::normal_distribution<double>(0.1, 0.03)(random));
  };
  const auto skewed = [](int, std::mt19937& random) {
    return 0.1 + std::exponential_distribution<double>(10)(random);
  };
  for (const Times& time : {Times(spread), Times(skewed)})
    for (unsigned seed = 0; seed < 200; ++seed) {
      const int n = samples_until_noise_stays(Limits{}, 2000, seed, time);
      EXPECT_TRUE(n == 0 || n == 2001) << "seed " << seed << " was given up after " << n;
    }
}

TEST(StopRule, NoiseThatStaysWaitsForTheMinima) {
  Limits many;
  many.min_samples = 300;
  EXPECT_GE(samples_until_noise_stays(many, 2000, 1, two_levels), 300);
  Limits longer;
  longer.min_time_s = 5;
  EXPECT_GE(samples_until_noise_stays(longer, 2000, 1, two_levels), 5 / 0.0111);
}

TEST(StopRule, DriftIsNoNoiseThatStays) {
  const auto rising = [](int i, std::mt19937& random) {
    return (0.1 + 1e-4 * i) * uniform(random, 0.8, 1.2);
  };
  const auto drifting_levels = [](int i, std::mt19937& random) {
    return two_levels(i, random) * (1 + 1e-3 * i);
  };
  Limits limits;
  limits.max_noise = 1e-4;  // which neither reaches by chance
  for (const Times& time : {Times(rising), Times(drifting_levels)})
    for (unsigned seed = 0; seed < 50; ++seed)
      EXPECT_EQ(samples_until_noise_stays(limits, 1000, seed, time), 1001) << seed;
}

/// Samples until the target is out of reach of a time of 20 s; 0 where it never is.
int samples_until_out_of_reach(unsigned seed, const Times& time) {
  StopRule rule(Limits{});
  std::mt19937 random(seed);
  double elapsed_s = 0;
  for (int n = 1; elapsed_s < 20 && !rule.satisfied(); ++n) {
    const double x = time(n - 1, random);
    rule.add(x, x);
    elapsed_s += x;
    if (rule.out_of_reach((20 - elapsed_s) * n / elapsed_s)) return n;
  }
  return 0;
}

TEST(StopRule, AWideSpreadThatStaysPutsTheTargetOutOfReach) {
  const auto skewed = [](int, std::mt19937& random) {
    return 0.004 + std::exponential_distribution<double>(160)(random);
  };
  const auto wide = [](int, std::mt19937& random) { return uniform(random, 0.005, 0.025); };
  for (const Times& time : {Times(skewed), Times(wide)})
    for (unsigned seed = 0; seed < 50; ++seed) {
      const int n = samples_until_out_of_reach(seed, time);
      EXPECT_GE(n, 128) << seed;
      EXPECT_LE(n, 1000) << seed << ": some 1500 fit";
    }
}

TEST(StopRule, WhatTheTimeAllowsIsWithinReach) {
  const auto narrow = [](int, std::mt19937& random) { return uniform(random, 0.009, 0.011); };
  for (unsigned seed = 0; seed < 100; ++seed)
    EXPECT_EQ(samples_until_out_of_reach(seed, narrow), 0) << seed;
}

TEST(StopRule, ASpreadThatStillFallsIsNotGivenUp) {
  const auto settling = [](int i, std::mt19937& random) {
    return 0.01 * (1 + std::exp(-i / 150.0) * uniform(random, -0.5, 0.5));
  };
  int given_up = 0;
  for (unsigned seed = 0; seed < 100; ++seed)
    given_up += samples_until_out_of_reach(seed, settling) > 0 ? 1 : 0;
  EXPECT_LE(given_up, 2) << "of 100, by chance";
}

TEST(StopRule, NoiseThatStaysNeedsNoMoreSamples) {
  StopRule rule(Limits{});
  std::mt19937 random(1);
  for (int i = 0; i < 2000 && !rule.noise_stays(); ++i) {
    const double x = two_levels(i, random);
    rule.add(x, x);
  }
  ASSERT_TRUE(rule.noise_stays());
  EXPECT_EQ(rule.samples_left(), 0);
}

TEST(StopRule, BrokenClockNeverSatisfies) {
  const StopRule rule = fed(Limits{}, 50, 0.0, 0);
  EXPECT_FALSE(rule.satisfied());
}

}  // namespace
}  // namespace flashbench::measure

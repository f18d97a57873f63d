#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compare/bootstrap.h"
#include "compare/evidence.h"
#include "compare/looks.h"
#include "compare/student.h"
#include "compare/verdict.h"
#include "tests/compare/noise.h"

namespace flashbench::compare {
namespace {

TEST(Student, QuantilesAsTabulated) {
  EXPECT_NEAR(student_quantile(0.025, 1), 12.7062, 1e-4);
  EXPECT_NEAR(student_quantile(0.025, 2), 4.30265, 1e-5);
  EXPECT_NEAR(student_quantile(0.025, 5), 2.57058, 1e-5);
  EXPECT_NEAR(student_quantile(0.005, 10), 3.16927, 1e-5);
  EXPECT_NEAR(student_quantile(0.0005, 8), 5.04131, 1e-5);
  EXPECT_NEAR(student_quantile(0.025, 1999), 1.96115, 1e-5);
  EXPECT_NEAR(student_quantile(0.025, kKnown), 1.95996, 1e-5);
}

TEST(Bootstrap, BlocksAreAsLongAsTheMemoryOfTheNoise) {
  const auto block = [](double memory) {
    return block_length(Machine(3, {.memory = memory, .spike_rate = 0}).run(1, 400), 7);
  };
  EXPECT_EQ(block(0), 7u);
  EXPECT_GT(block(0.9), 12u);
  EXPECT_LE(block(0.999), 80u) << "five blocks remain";
  EXPECT_EQ(block_length(std::vector<double>(300, 1.0), 6), 6u) << "equal samples";
}

TEST(Bootstrap, MediansOfResamplesAreMediansOfSamples) {
  const std::vector<double> odd = {5, 1, 3};
  Random random(1);
  for (const double m : bootstrap_medians(odd, 1, 200, random))
    EXPECT_TRUE(m == 1 || m == 3 || m == 5) << m;
  Random whole(1);
  for (const double m : bootstrap_medians(odd, 3, 50, whole))
    EXPECT_EQ(m, 3) << "a block as long as the series holds every sample once";
  const std::vector<double> even = {1, 3};
  Random again(1);
  EXPECT_THAT(bootstrap_medians(even, 2, 20, again), ::testing::Each(2.0));
}

TEST(Evidence, IsTheSameEveryTime) {
  const std::vector<double> a = Machine(1, {}).run(1, 50), b = Machine(2, {}).run(1.1, 50);
  const Interval first = Evidence::from_runs(a, b, {}).interval(0.05);
  const Interval second = Evidence::from_runs(a, b, {}).interval(0.05);
  EXPECT_EQ(first.low, second.low);
  EXPECT_EQ(first.high, second.high);
  EXPECT_LT(first.low, 1.1);
  EXPECT_GT(first.high, 1.1);
}

TEST(Evidence, TooFewRoundsSayNothing) {
  const std::vector<double> four(4, 0.5);
  const Interval i = Evidence::from_rounds(four, 1).interval(0.05);
  EXPECT_EQ(i.low, 0);
  EXPECT_EQ(i.high, std::numeric_limits<double>::infinity());
  EXPECT_EQ(verdict_of(i, 0.03), Verdict::kAmbiguous);
}

TEST(Evidence, OfFewRoundsIsWideInsteadOfUnknown) {
  const std::vector<double> three = {1.2, 1.3, 1.25};  // ln 3.5
  const Interval i = Evidence::from_rounds(three, 1).interval(0.05);
  EXPECT_EQ(verdict_of(i, 0.03), Verdict::kSlower);
  EXPECT_NEAR(i.high, std::exp(1.25 + 1.2534 * 4.303 * 0.05 / std::sqrt(3)), 1e-3);
  const std::vector<double> base = {1.0, 1.01}, slow = {3.5, 3.6, 3.7};
  const Interval runs = Evidence::from_runs(base, slow, {0.05}).interval(0.05);
  EXPECT_GT(runs.low, 1.1);
  EXPECT_LT(runs.high, 30);
  EXPECT_EQ(Evidence::none(1, 3).interval(0.05).low, 0);
  EXPECT_DOUBLE_EQ(Evidence::none(1, 3).ratio(), 3);
}

TEST(Evidence, IntervalsWidenAsTheLevelRises) {
  const Evidence e = Evidence::from_rounds(Machine(1, {}).rounds(1, 32), 1);
  Interval last = e.interval(0.3);
  for (const double alpha : {0.1, 0.05, 0.01, 1e-3, 1e-4, 1e-6}) {
    const Interval next = e.interval(alpha);
    EXPECT_LE(next.low, last.low) << alpha;
    EXPECT_GE(next.high, last.high) << alpha;
    last = next;
  }
}

TEST(Evidence, SamplesThatRememberCountLess) {
  const std::vector<double> series = Machine(1, {.memory = 0.95, .spike_rate = 0}).run(1, 300);
  std::vector<double> shuffled = series;
  std::shuffle(shuffled.begin(), shuffled.end(), Random(1));
  const auto width = [](const std::vector<double>& s) {
    const Interval i = Evidence::from_runs(s, s, {}).interval(0.05);
    return i.high - i.low;
  };
  EXPECT_GT(width(series), 2 * width(shuffled));
}

TEST(Evidence, WhatARunAddsWidensTheInterval) {
  const std::vector<double> exact(20, 1.0), slow(20, 1.05);
  EXPECT_EQ(verdict_of(Evidence::from_runs(exact, slow, {}).interval(0.05), 0.03),
            Verdict::kSlower);
  EXPECT_EQ(verdict_of(Evidence::from_runs(exact, slow, {0.02, 10}).interval(0.05), 0.03),
            Verdict::kAmbiguous);
}

TEST(Spread, TwoRunsAddTheirVariances) {
  EXPECT_DOUBLE_EQ(combined({0.03, 5}, {0.04, kKnown}).sigma, 0.05);
  EXPECT_EQ(combined({0.01, 5}, {0.01, 5}).dof, 10);
  EXPECT_EQ(combined({0.05, kKnown}, {0.05, kKnown}).dof, kKnown);
  EXPECT_EQ(combined({0, 5}, {0, 5}).sigma, 0);
}

TEST(Verdict, NeedsTheWholeInterval) {
  EXPECT_EQ(verdict_of({1.031, 1.2}, 0.03), Verdict::kSlower);
  EXPECT_EQ(verdict_of({1.029, 1.2}, 0.03), Verdict::kAmbiguous);
  EXPECT_EQ(verdict_of({0.5, 0.97}, 0.03), Verdict::kFaster);
  EXPECT_EQ(verdict_of({0.5, 0.98}, 0.03), Verdict::kAmbiguous);
  EXPECT_EQ(verdict_of({0.98, 1.02}, 0.03), Verdict::kSame);
  EXPECT_EQ(verdict_of({0.5, 2}, 0.03), Verdict::kAmbiguous);
  EXPECT_EQ(verdict_of({1, 1}, 0), Verdict::kSame);
}

/// Decided below this error rate and not above it.
Evidence borderline(double& alpha) {
  const Evidence e = Evidence::from_rounds(Machine(5, {}).rounds(1.05, 16), 1);
  double low = 1e-9, high = 0.9;
  for (int i = 0; i < 60; ++i) {
    const double middle = std::sqrt(low * high);
    (verdict_of(e.interval(middle), 0.03) == Verdict::kAmbiguous ? low : high) = middle;
  }
  alpha = high;
  return e;
}

TEST(Holm, WhatIsDecidedLeavesItsShareToTheRest) {
  double limit = 0;
  const Evidence close = borderline(limit);
  const Evidence clear = Evidence::from_rounds(std::vector<double>(16, std::log(2.0)), 1);
  const Evidence hopeless =
      Evidence::from_rounds(Machine(1, {.run = 0.5, .drift = 0.5}).rounds(1, 8), 1);
  const double alpha = 2 * limit;  // enough for one of two, not for one of four

  const auto alone = decide(std::vector{close, clear, clear, clear}, 0.03, alpha);
  EXPECT_EQ(alone[0].verdict, Verdict::kSlower);
  EXPECT_DOUBLE_EQ(alone[0].alpha, alpha);
  EXPECT_DOUBLE_EQ(alone[1].alpha, alpha / 4);

  const auto crowded = decide(std::vector{close, hopeless, hopeless, hopeless}, 0.03, alpha);
  EXPECT_EQ(crowded[0].verdict, Verdict::kAmbiguous);
  EXPECT_DOUBLE_EQ(crowded[0].alpha, alpha / 4);
}

TEST(Looks, ShareTheErrorRate) {
  EXPECT_DOUBLE_EQ(rule_at({0.03, 0.05}).alpha * kLooks, 0.05);
  EXPECT_GE(rounds_at(0), static_cast<int>(Evidence::kLeastRounds));
  for (int look = 1; look < kLooks; ++look) EXPECT_GT(rounds_at(look), rounds_at(look - 1));
}

}  // namespace
}  // namespace flashbench::compare

// No ratio without its interval, and no conclusion beyond it.
#include "report/ratio.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Timing timing_with(const std::vector<double>& times) {
  measure::Samples samples;
  samples.times_s = times;
  return *timing_of(samples);
}

/// 11 samples whose interval is `median` ± `half`.
Timing around(double median, double half) {
  Timing t = fixed_result("flash", median).timing.value();
  t.ci95 = {median - half, median + half};
  return t;
}

TEST(Ratio, ItsIntervalHoldsWhateverBothIntervalsHold) {
  const Ratio r = time_ratio(around(2.0, 0.1), around(1.0, 0.02)).value();
  EXPECT_DOUBLE_EQ(r.value, 2);
  EXPECT_DOUBLE_EQ(r.interval[0], 1.9 / 1.02);
  EXPECT_DOUBLE_EQ(r.interval[1], 2.1 / 0.98);
  EXPECT_EQ(faster(r), Faster::kDenominator);
  EXPECT_EQ(faster(inverse(r)), Faster::kNumerator);
}

// "0.04x as fast" was printed of 35 ± 35 ms against 1.4 ± 10 ms.
TEST(Ratio, NoiseAboveTheEffectTellsNothing) {
  EXPECT_FALSE(time_ratio(around(1.4e-3, 10e-3), around(35e-3, 35e-3)));
  const Ratio r = time_ratio(around(1.0, 0.2), around(1.1, 0.2)).value();
  EXPECT_EQ(faster(r), Faster::kUnknown);
  EXPECT_THAT(ratio_cell(r), ::testing::StartsWith("cannot tell [0.6"));
}

TEST(Ratio, FewSamplesHoldLessThanTheirRange) {
  EXPECT_FALSE(median_interval(timing_with({1.0})));
  const auto three = median_interval(timing_with({0.99, 1.0, 1.01})).value();
  EXPECT_NEAR(three[0], 1 - 4.303 * 0.01 / std::sqrt(3.0), 1e-9);
  const auto six = median_interval(timing_with({0.97, 0.98, 0.99, 1.01, 1.02, 1.03})).value();
  EXPECT_THAT(six, ElementsAre(0.97, 1.03));
}

TEST(Ratio, EndsAreRoundedOutwards) {
  EXPECT_EQ(ratio_text({1.041, {1.0213, 1.0587}}), "1.04x [1.02, 1.06]");
  EXPECT_EQ(ratio_text({1.04, {1.02, 1.06}}), "1.04x [1.02, 1.06]");
  EXPECT_EQ(ratio_text({35.24, {34.99, 35.51}}), "35.2x [34.9, 35.6]");
  EXPECT_EQ(ratio_cell({1.01, {0.98, 1.04}}), "cannot tell [0.98, 1.04]");
}

// An interval that reads as [1.00, 1.02] excludes 1 for no reader.
TEST(Ratio, WhatReadsAsOneIsOne) {
  EXPECT_EQ(faster({1.008, {1.004, 1.012}}), Faster::kUnknown);
  EXPECT_TRUE(practically_equal({1.008, {1.004, 1.012}}));
  EXPECT_EQ(faster({1.02, {1.01, 1.03}}), Faster::kDenominator);
}

TEST(Speedups, StandWithTheirIntervals) {
  std::vector<Result> results = {fixed_result("flash", 0.2), fixed_result("normal", 0.6)};
  derive_speedups(results);
  const Ratio r = speedup_over(results[0], "normal").value();
  EXPECT_NEAR(r.value, 3, 1e-12);
  EXPECT_LT(r.interval[0], 3);
  EXPECT_GT(r.interval[1], 3);
  EXPECT_FALSE(results[1].speedup_ci95);
}

TEST(Speedups, OneSampleGivesNone) {
  std::vector<Result> results = {fixed_result("flash", 0.2), fixed_result("normal", 0.6)};
  results[1].timing = timing_with({0.6});
  derive_speedups(results);
  EXPECT_FALSE(results[0].speedup_over || results[0].speedup_ci95);
}

TEST(Speedups, OfWhatIsNotConclusiveThereAreNone) {
  std::vector<Result> results = {fixed_result("flash", 0.2), fixed_result("normal", 0.6)};
  derive_speedups(results);
  ASSERT_TRUE(speedup_over(results[0], "normal"));
  results[0].rises = false;
  EXPECT_FALSE(speedup_over(results[0], "normal"));
  derive_speedups(results);
  EXPECT_FALSE(results[0].speedup_over || results[0].speedup_ci95);
}

}  // namespace
}  // namespace flashbench::report

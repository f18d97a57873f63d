#include "oracle/noise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "oracle/rows.h"

// The formulas of single errors, as lib/oracle/README.md gives them.
namespace flashbench::oracle {
namespace {

constexpr double kE = 0x1p-24;  // roundoff of f32

TEST(Rounding, IsHalfAUnitOfTheLastPlaceDownToTheSmallestNumber) {
  const Rounding bf16(Dtype::kBf16), f16(Dtype::kF16);
  EXPECT_DOUBLE_EQ(bf16.stored(1.5), 0x1p-16 / 3);
  EXPECT_DOUBLE_EQ(bf16.stored(-4), 0x1p-12 / 3);
  EXPECT_DOUBLE_EQ(f16.stored(1e-7), 0x1p-50 / 3);  // 2^-24 is the smallest
  EXPECT_DOUBLE_EQ(f16.smallest(), 0x1p-25);
  EXPECT_DOUBLE_EQ(bf16.smallest(), 0x1p-126);  // what f32 arithmetic may flush
}

TEST(Rounding, AddsWhatTheNearestNumberIsOffBy) {
  const Rounding f16(Dtype::kF16);
  EXPECT_DOUBLE_EQ(f16.error(1 + 0x1p-10), 0);
  EXPECT_DOUBLE_EQ(f16.error(1 + 0x1p-12), -0x1p-12);
  EXPECT_DOUBLE_EQ(f16.error(-1 - 0x1p-10 + 0x1p-12), -0x1p-12);
  EXPECT_DOUBLE_EQ(f16.error(0x1p-26), -0x1p-26);
}

TEST(Rounding, OfWeightsIsAQuarterOfTheWorstUnlessUnderflowTakesThem) {
  const Rounding f16(Dtype::kF16), f32(Dtype::kF32);
  EXPECT_DOUBLE_EQ(f16.of(0.7).random, 0.49 * 0x1p-22 / 4);
  EXPECT_DOUBLE_EQ(f16.of(0x1p-20).random, 0x1p-50 / 4);
  EXPECT_EQ(f16.of(0.7).lost, 0);
  EXPECT_DOUBLE_EQ(f16.of(1e-8).lost, 1e-8);
  EXPECT_EQ(f16.of(1e-8).random, 0);
  EXPECT_EQ(f32.of(0.7).random, 0);
  EXPECT_DOUBLE_EQ(f16.alike(), 0x1p-22 / 4);
  EXPECT_EQ(f32.alike(), 0);
}

TEST(Rounding, OfScoreGradientsKnowsThatAKernelMayScaleThemFirst) {
  const Rounding f16(Dtype::kF16);
  EXPECT_EQ(f16.of_gradient(1e-6, 0.5, 1, 0).lost, 0);
  EXPECT_DOUBLE_EQ(f16.of_gradient(1e-6, 0.5, 0.01, 0).lost, 1e-6);
  EXPECT_DOUBLE_EQ(f16.of_gradient(1e-6, 0.5, -0.01, 0).lost, 1e-6);
  EXPECT_EQ(f16.of_gradient(1e-6, 0.5, 100, 0).lost, 0);
  EXPECT_DOUBLE_EQ(f16.of_gradient(-3, 1e-39, 1, 0).lost, 3);  // P itself was flushed
}

TEST(Rounding, OfScoreGradientsThatAreZeroIsOfWhatAnErrorOfDMakesOfThem) {
  const Rounding bf16(Dtype::kBf16);
  EXPECT_EQ(bf16.of_gradient(0, 0.5, 1, 0).random, 0);
  EXPECT_DOUBLE_EQ(bf16.of_gradient(0, 0.5, 1, square(0.01)).random, square(0x1p-8 * 0.01) / 4);
  EXPECT_DOUBLE_EQ(bf16.of_gradient(3, 0.5, 1, 16).random, square(0x1p-8 * 5) / 4);
}

TEST(Rounding, CellsAreWhatTheDtypeCannotTellApart) {
  const Rounding bf16(Dtype::kBf16);
  EXPECT_EQ(bf16.cell(1), bf16.cell(1 + 0x1.fp-8));
  EXPECT_NE(bf16.cell(1), bf16.cell(1 + 0x1p-7));
  EXPECT_NE(bf16.cell(1), bf16.cell(2));
}

TEST(Noise, OfASumGrowsWithItsTermsAndWhatItReaches) {
  const double flushed = std::pow(100 * 0x1p-126, 2) / 3;
  EXPECT_DOUBLE_EQ(sum_noise(100, 0, 0), flushed);
  EXPECT_DOUBLE_EQ(sum_noise(100, 2, 5), 0.09 * kE * kE * 100 * 7);
  EXPECT_DOUBLE_EQ(sum_noise(1, 4, 4), 0.09 * kE * kE * 8 + 4 * alike_sum_noise(1));
  // Terms that are all alike: 1/6 of a unit each, in one chain up to 1024, and then the parts.
  EXPECT_DOUBLE_EQ(alike_sum_noise(100), std::pow(kE / 6 * (1 + 100 + 100 / 1024.0), 2));
  EXPECT_DOUBLE_EQ(alike_sum_noise(4096), std::pow(kE / 6 * (1 + 1024 + 4), 2));
  EXPECT_DOUBLE_EQ(alike_noise(10, 100, 10), 100 * alike_sum_noise(10));
  EXPECT_NEAR(alike_noise(10, 90, 10) / (90 * alike_sum_noise(10)), std::pow(0.9, 64), 1e-12);
  EXPECT_EQ(alike_noise(10, 79, 10), 0);
  EXPECT_EQ(alike_noise(10, 0, 0), 0);
  EXPECT_DOUBLE_EQ(alike_noise(10, 101, 10), 101 * alike_sum_noise(10));  // rounding of fp64
  EXPECT_DOUBLE_EQ(sum_noise(10, 100, 10), 0.09 * kE * kE * 10 * 110 + 100 * alike_sum_noise(10));
}

TEST(Noise, OfTensorCoresIsWhatTheyCutOff) {
  EXPECT_DOUBLE_EQ(truncated_sum(24), 3 * kE);
  EXPECT_DOUBLE_EQ(Rounding(Dtype::kBf16).cut_off(24, 5), 9 * kE * kE * 5);
  EXPECT_EQ(Rounding(Dtype::kF32).cut_off(24, 5), 0);
}

TEST(Noise, OfSplitOperandsIsThatOfF32AndOfEachProduct) {
  const Rounding split(Dtype::kF32, F32Math::kBf16x6), ieee(Dtype::kF32);
  EXPECT_DOUBLE_EQ(split.of_products(100, 2, 5), sum_noise(100, 2, 5) + 5 * std::pow(2, -44));
  EXPECT_DOUBLE_EQ(ieee.of_products(100, 2, 5), sum_noise(100, 2, 5));
  EXPECT_DOUBLE_EQ(split.cut_off_scores(128), truncated_sum(16));
  EXPECT_EQ(ieee.cut_off_scores(128), 0);
  EXPECT_DOUBLE_EQ(Rounding(Dtype::kBf16).cut_off_scores(128), truncated_sum(128));
}

TEST(Noise, OfAnExponentialIsThatOfItsScore) {
  // raw = 6; the score is raw itself.
  const double of_raw = raw_noise(Rounding(Dtype::kF32), 2, 8, 3, 3);
  EXPECT_DOUBLE_EQ(of_raw, 36 * kE * kE + 4 * sum_noise(8, 9, 3));
  EXPECT_DOUBLE_EQ(raw_noise(Rounding(Dtype::kF32), -2, 8, -3, 3), of_raw);
  EXPECT_DOUBLE_EQ(exp_noise(6, of_raw, {6, 1}), 4 * kE * kE + of_raw);
  // Modified: 0.5 was added, or the score became 1 and hardly moves.
  EXPECT_DOUBLE_EQ(exp_noise(6, of_raw, {6.5, 1}), 4.25 * kE * kE + of_raw);
  EXPECT_DOUBLE_EQ(exp_noise(6, of_raw, {1, 0.5}), 5 * kE * kE + of_raw / 4);
  // A slope moves with the product, and is rounded where it was subtracted from 1.
  EXPECT_EQ(slope_noise(of_raw, {6, 1}), 0);
  EXPECT_DOUBLE_EQ(slope_noise(of_raw, {1, 0.25, 3}), 2.25 * kE * kE + 9 * of_raw);
  // Beyond what is linear: three deviations, but P stays below 1.
  EXPECT_DOUBLE_EQ(exp_error(0.5, std::log(0.5), 1e-4), 0.25 * 1e-4);
  EXPECT_NEAR(exp_error(0.01, std::log(0.01), 0.25), 1e-4 * std::exp(3.0) / 9, 1e-16);
  EXPECT_DOUBLE_EQ(exp_error(0.5, std::log(0.5), 4), 1.0 / 9);
}

TEST(Noise, OfTheLargestPIsThatOfAllOthers) {
  RowStats row;
  row.exps_noise = 1e-6;
  row.p_noise = 1;
  EXPECT_DOUBLE_EQ(row.noise_of(0.5, std::log(0.5), 3e-6), 0.25 * 4e-6);
  row.p_noise = 1.5e-6;
  EXPECT_DOUBLE_EQ(row.noise_of(0.5, std::log(0.5), 3e-6), 0.5e-6);
  row.p_noise = 0.9e-6;  // rounding of fp64
  EXPECT_EQ(row.noise_of(0.5, std::log(0.5), 3e-6), 0);
}

TEST(Noise, ALargeLseMovesPByAThousandthAtMost) {
  RowStats row;
  row.lse_noise = 1e-9;
  EXPECT_EQ(row.from_lse(), 1e-9);
  row.lse_noise = 1;
  EXPECT_EQ(row.from_lse(), 0x1p-20);
}

TEST(Noise, AMeanMayExceedWhatIsExpectedTheLessTheMoreErrorsItHas) {
  EXPECT_DOUBLE_EQ(excess(10), 1 + 2 + 2);
  EXPECT_DOUBLE_EQ(excess(1000), 1 + 0.2 + 0.02);
  for (const double n : {1.0, 4.0, 1000.0})
    EXPECT_NEAR(parallel(excess(n)), 1 / std::sqrt(n), 1e-12);
  EXPECT_EQ(parallel(40), 1);
  EXPECT_DOUBLE_EQ(mixed_excess(0.25, 1000), 0.25 * excess(1) + 0.75 * 1.22);
  EXPECT_DOUBLE_EQ(mixed_excess(0, 0.1), excess(1));
  EXPECT_DOUBLE_EQ(excess_of_largest(1000), 8 + 2 * std::log(1000.0));
  EXPECT_DOUBLE_EQ(excess_of_largest(0), 8);
  EXPECT_DOUBLE_EQ((Noise{.stored = 1, .computed = 2}.variance()), 3);
}

}  // namespace
}  // namespace flashbench::oracle

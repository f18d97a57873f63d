#include "oracle/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

namespace flashbench::oracle {
namespace {

using testing::ElementsAre;

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Rows of different values with the same noise everywhere.
Expected rows_of(std::int64_t rows, std::int64_t d, Noise noise, double row_excess) {
  Expected x(rows, d);
  for (std::size_t i = 0; i < x.value.size(); ++i) x.value[i] = static_cast<double>(i + 1);
  x.noise.assign(x.value.size(), noise);
  x.excess.assign(static_cast<std::size_t>(rows), row_excess);
  return x;
}

/// Row n with errors of `off` in the channels from `first` on.
void judge_row(TensorCheck& check, const Expected& x, std::int64_t n, double off,
               std::int64_t first = 0, double unit = 1) {
  Doubles got(x.value.begin() + n * x.d, x.value.begin() + (n + 1) * x.d);
  for (std::int64_t c = first; c < x.d; ++c) got[static_cast<std::size_t>(c)] += off;
  check.row(got.data(), x, static_cast<std::size_t>(n), unit, {0, 0, n, 0});
}

/// `reach` as the README's rule has it; 2 is the limit.
double over(double error, double reach) { return 2 * error / (1.4 * reach); }

TEST(TensorCheck, AnElementMayReachItsRoundingAndTheLargestOfManyErrors) {
  const Expected x = rows_of(1, 1, {.stored = 4, .computed = 9}, 1);
  TensorCheck check("t", 1000);
  judge_row(check, x, 0, 5);
  const double largest = 8 + 2 * std::log(1000.0);
  EXPECT_NEAR(check.verdict().error_over_noise, over(5, std::sqrt(12) + std::sqrt(9 * largest)),
              1e-12);
  EXPECT_EQ(check.verdict().scope, Scope::kElement);
  EXPECT_NEAR(*check.verdict().rms, 5 / std::sqrt(13), 1e-12);
}

TEST(TensorCheck, ARowIsJudgedByTheShareThatRoundingHas) {
  const Expected x = rows_of(1, 8, {.stored = 1, .computed = 3}, 2);
  TensorCheck check("t", 1000);
  judge_row(check, x, 0, 5);
  EXPECT_NEAR(
      check.verdict().error_over_noise,
      over(2.5, std::sqrt(3 * 0.25 + 2 * 0.75 + 2 * parallel(2) * std::sqrt(3 * 0.25 * 2 * 0.75))),
      1e-12);
  EXPECT_EQ(check.verdict().scope, Scope::kRow);
}

TEST(TensorCheck, ARowThatIsStoredAndNothingElseIsJudgedToo) {
  const Expected x = rows_of(1, 49, {.stored = 0.1, .computed = 0}, 2);  // shares add up to over 49
  TensorCheck check("t", 1000);
  judge_row(check, x, 0, 0.1);
  EXPECT_NEAR(check.verdict().error_over_noise, over(std::sqrt(0.1), std::sqrt(3)), 1e-12);
}

TEST(TensorCheck, ARowMayExceedNoMoreThanTheLargestElement) {
  const Expected x = rows_of(1, 4, {.stored = 0, .computed = 1}, 1000);
  TensorCheck check("t", 4);
  judge_row(check, x, 0, 5);
  EXPECT_NEAR(check.verdict().error_over_noise, over(5, std::sqrt(8 + 2 * std::log(4.0))), 1e-12);
}

TEST(TensorCheck, AChannelThatIsOffEverywhereFailsByItsMeanThoughNoElementDoes) {
  const std::int64_t rows = 200, d = 4;
  const Expected x = rows_of(rows, d, {.stored = 0, .computed = 1}, 1000);
  TensorCheck check("t", rows * d);
  for (std::int64_t n = 0; n < rows; n += 2) {  // parts that are merged, as of blocks of rows
    TensorCheck part("t", rows * d);
    judge_row(part, x, n, 3, d - 1);
    judge_row(part, x, n + 1, 3, d - 1);
    check.merge(part);
  }
  const TensorVerdict v = check.verdict();
  const double excess = 1 + 2 * std::sqrt(10.0 / 200) + 20.0 / 200;
  EXPECT_NEAR(v.error_over_noise, over(3, std::sqrt(excess)), 1e-12);
  EXPECT_FALSE(v.ok);
  EXPECT_EQ(v.scope, Scope::kChannel);
  EXPECT_EQ(v.index[3], d - 1);
  EXPECT_NEAR(*v.rms, 1.5, 1e-12);
}

TEST(TensorCheck, RowsThatErrAlikeCountOnce) {
  Expected x = rows_of(200, 1, {.stored = 0, .computed = 1}, 1);
  const auto judged = [&] {
    TensorCheck check("t", 200);
    for (std::int64_t n = 0; n < 200; ++n) judge_row(check, x, n, 3);
    return check.verdict();
  };
  EXPECT_EQ(judged().scope, Scope::kChannel);
  EXPECT_FALSE(judged().ok);
  x.alike.assign(200, 7);  // one error of all of them, and that may be 3 deviations
  EXPECT_TRUE(judged().ok);
}

/// Of rows of LSE, each with a value and what it should be; in f32, as it is judged.
bool said_to_be_log2(const std::vector<std::pair<double, double>>& got_and_want) {
  const auto rows = static_cast<std::int64_t>(got_and_want.size());
  Expected x = rows_of(rows, 1, {.stored = 0, .computed = 1e-12}, 1);
  TensorCheck check("lse", rows);
  for (std::int64_t n = 0; n < rows; ++n) {
    const auto& [got, want] = got_and_want[static_cast<std::size_t>(n)];
    x.value[static_cast<std::size_t>(n)] = want;
    judge_row(check, x, n, got - want);
  }
  EXPECT_FALSE(check.verdict().ok);
  return check.verdict().in_base_2;
}

// A path that forgets ln 2 beside one that does not: multiplying it all would be wrong.
TEST(TensorCheck, RightRowsAmongThoseOfLog2AreNotAllLog2) {
  const double log2 = 1 / std::numbers::ln2;
  EXPECT_TRUE(said_to_be_log2({{3 * log2, 3}, {5 * log2, 5}}));
  EXPECT_FALSE(said_to_be_log2({{3 * log2, 3}, {5, 5}}));
  EXPECT_FALSE(said_to_be_log2({{3 * log2, 3}, {5, 5 + 1e-7}})) << "right, but for rounding";
  EXPECT_FALSE(said_to_be_log2({{3 * log2, 3}, {5.5, 5}})) << "one that is neither";
  EXPECT_TRUE(said_to_be_log2({{3 * log2, 3}, {0, 0}})) << "0 is right in both";
}

// Near 0 the two are nearer to each other than what is allowed for log2.
TEST(TensorCheck, ABadRowNear0IsNotLog2) {
  const double a_bit_too_far = 20e-6;
  EXPECT_FALSE(said_to_be_log2({{a_bit_too_far, 0}}));
  EXPECT_FALSE(said_to_be_log2({{a_bit_too_far, 0}, {3, 3}}));
  EXPECT_FALSE(said_to_be_log2({{1, 0}, {3 / std::numbers::ln2, 3}})) << "far off, and not log2";
}

TEST(TensorCheck, TheUnitScalesAllNoise) {
  const Expected x = rows_of(1, 1, {.stored = 4, .computed = 9}, 1);
  TensorCheck whole("t", 10), small("t", 10);
  judge_row(whole, x, 0, 5);
  judge_row(small, x, 0, 0.5, 0, 0.1);
  EXPECT_NEAR(small.verdict().error_over_noise, whole.verdict().error_over_noise, 1e-12);
  EXPECT_NEAR(*small.verdict().rms, *whole.verdict().rms, 1e-12);
}

TEST(TensorCheck, InfinityIsRightFromHalfAUnitBeyondTheLargestNumberOn) {
  Tensor got(Dtype::kF16, {1, 1, 1, 1});
  got.set(0, kInf);
  for (const auto& [want, right] : {std::pair{65519.0, false}, {65520.0, true}}) {
    Expected x = rows_of(1, 1, {.stored = 0, .computed = 1e-20}, 1);
    x.value[0] = want;
    TensorCheck check("t", 1);
    check.row(got, 0, 0, 0, x, 0);
    EXPECT_EQ(check.verdict().ok, right) << want;
  }
}

TEST(TensorCheck, WhatMustBeZeroOrWrittenIsLookedAtToTheLastElement) {
  Tensor t(Dtype::kF32, {1, 2, 3, 5});
  for (std::int64_t i = 0; i < t.count(); ++i) t.set(i, 0);
  TensorCheck fine("t", 1);
  fine.zeros(t, 0, 1, 2);
  fine.all_written(t);
  EXPECT_TRUE(fine.verdict().ok);
  t.set(t.count() - 1, 1e-30f);
  TensorCheck zeros("t", 1);
  zeros.zeros(t, 0, 1, 2);
  EXPECT_FALSE(zeros.verdict().ok);
  EXPECT_THAT(zeros.verdict().index, ElementsAre(0, 1, 2, 4));
  t.set(t.count() - 1, std::nanf(""));
  TensorCheck written("t", 1);
  written.all_written(t);
  EXPECT_FALSE(written.verdict().ok);
  EXPECT_THAT(written.verdict().index, ElementsAre(0, 1, 2, 4));
}

}  // namespace
}  // namespace flashbench::oracle

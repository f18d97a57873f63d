#include "measure/budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "measure/fake_clock.h"
#include "system/error.h"

namespace flashbench::measure {
namespace {

TEST(Duration, UnitsAndPlainSeconds) {
  EXPECT_DOUBLE_EQ(parse_duration_s("60s", "--budget"), 60);
  EXPECT_DOUBLE_EQ(parse_duration_s("2m", "--budget"), 120);
  EXPECT_DOUBLE_EQ(parse_duration_s("500ms", "--budget"), 0.5);
  EXPECT_DOUBLE_EQ(parse_duration_s("1.5h", "--budget"), 5400);
  EXPECT_DOUBLE_EQ(parse_duration_s("0.25", "--min_time"), 0.25);
}

TEST(Duration, RefusesWhatIsNoTime) {
  for (const std::string text : {"", "s", "60 s", "-1s", "0", "nan", "inf", "1e999", "60sec",
                                 "1m30s", "+5s", "0x10", "1e308h", "1e-323ms"}) {
    try {
      parse_duration_s(text, "--budget");
      FAIL() << "accepted '" << text << "'";
    } catch (const UsageError& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr("--budget '" + text + "' is not a time"));
    }
  }
}

constexpr Need kShort{.fixed_s = 0.5, .sampling_s = 0.5, .cases = 2};

Need times(const Need& one, int n) {
  Need all;
  for (int i = 0; i < n; ++i) all += one;
  return all;
}

TEST(Budget, KnowsWhatWasSpentBeyondItsEnd) {
  FakeClock clock;
  const Budget budget(15, clock);
  clock.advance(73);
  EXPECT_DOUBLE_EQ(budget.spent_s(), 73);
  EXPECT_DOUBLE_EQ(budget.left_s(), 0);
}

TEST(Budget, SharesTheTimeThatIsLeft) {
  FakeClock clock;
  const Budget budget(60, clock);
  const Limits first = budget.next(Limits{}, kShort, times(kShort, 4));
  // Of 60 s, 3 are kept and 5 needed by all; a tenth of the rest, and what each needs at the least.
  EXPECT_NEAR(first.timeout_s, 0.25 + 5.2, 1e-9);
  EXPECT_DOUBLE_EQ(first.min_time_s, 0.5);
  clock.advance(2);  // the first ones were fast: the others get more
  EXPECT_GT(budget.next(Limits{}, kShort, times(kShort, 3)).timeout_s, first.timeout_s);
}

// Ten cases of equal shares spent a minute before the eleventh, which takes a minute, had begun.
TEST(Budget, LeavesLongCasesWhatTheyNeed) {
  FakeClock clock;
  const Budget budget(60, clock);
  const Need late{.fixed_s = 20, .sampling_s = 30, .cases = 1};
  EXPECT_NEAR(budget.next(Limits{}, kShort, late).timeout_s, 0.25 + (57.0 - 1 - 50) / 3, 1e-9);
  clock.advance(5);
  EXPECT_NEAR(budget.next(Limits{.timeout_s = 100}, late, {}).timeout_s, 30 + 2, 1e-9);
}

TEST(Budget, ANeedThatIsNotMetGetsTheLeastAndNoMore) {
  FakeClock clock;
  const Budget budget(10, clock);
  EXPECT_DOUBLE_EQ(budget.next(Limits{}, kShort, times(kShort, 50)).timeout_s, 0.25);
}

TEST(Budget, NeverLoosensTheLimits) {
  FakeClock clock;
  EXPECT_DOUBLE_EQ(Budget(1e6, clock).next(Limits{}, kShort, {}).timeout_s, Limits{}.timeout_s);
}

TEST(Budget, ASmallShareShortensTheMinimumTimeToo) {
  FakeClock clock;
  const Limits limits = Budget(10, clock).next(Limits{}, {}, {.cases = 99});
  EXPECT_LT(limits.min_time_s, limits.timeout_s);
  EXPECT_LT(limits.timeout_s * 100, 10);
}

TEST(Budget, SpentIsZeroAndNotNegative) {
  FakeClock clock;
  const Budget budget(1, clock);
  clock.advance(5);
  EXPECT_DOUBLE_EQ(budget.left_s(), 0);
  EXPECT_DOUBLE_EQ(budget.next(Limits{}, {}, {.cases = 3}).timeout_s, 0);
  EXPECT_DOUBLE_EQ(budget.next(Limits{}, {}, {}).timeout_s, 0);
}

TEST(Budget, MayBeExceededByLessThanATenth) {
  FakeClock clock;
  const Budget budget(100, clock);
  clock.advance(90);
  EXPECT_FALSE(budget.exceeded_by(17));
  EXPECT_TRUE(budget.exceeded_by(20));
}

}  // namespace
}  // namespace flashbench::measure

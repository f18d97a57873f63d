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
                                 "1m30s", "+5s", "0x10", "1e308h"}) {
    try {
      parse_duration_s(text, "--budget");
      FAIL() << "accepted '" << text << "'";
    } catch (const UsageError& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr("--budget '" + text + "' is not a time"));
    }
  }
}

TEST(Budget, SharesTheTimeThatIsLeft) {
  FakeClock clock;
  const Budget budget(60, clock);
  const Limits first = budget.next(Limits{}, 10);
  EXPECT_NEAR(first.timeout_s, 4.2, 1e-9);
  EXPECT_DOUBLE_EQ(first.min_time_s, 0.5);
  clock.advance(2);  // the first case was fast: the others get more
  EXPECT_GT(budget.next(Limits{}, 9).timeout_s, first.timeout_s);
}

TEST(Budget, NeverLoosensTheLimits) {
  FakeClock clock;
  EXPECT_DOUBLE_EQ(Budget(1e6, clock).next(Limits{}, 1).timeout_s, Limits{}.timeout_s);
}

TEST(Budget, ASmallShareShortensTheMinimumTimeToo) {
  FakeClock clock;
  const Limits limits = Budget(10, clock).next(Limits{}, 100);
  EXPECT_LT(limits.min_time_s, limits.timeout_s);
  EXPECT_LT(limits.timeout_s * 100, 10);
}

TEST(Budget, SpentIsZeroAndNotNegative) {
  FakeClock clock;
  const Budget budget(1, clock);
  EXPECT_FALSE(budget.spent());
  clock.advance(5);
  EXPECT_TRUE(budget.spent());
  EXPECT_DOUBLE_EQ(budget.left_s(), 0);
  EXPECT_DOUBLE_EQ(budget.next(Limits{}, 3).timeout_s, 0);
  EXPECT_DOUBLE_EQ(budget.next(Limits{}, 0).timeout_s, 0);
}

}  // namespace
}  // namespace flashbench::measure

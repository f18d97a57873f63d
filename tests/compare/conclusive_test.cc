// No ratio without its interval, and none of what is not conclusive.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "compare/looks.h"
#include "compare/render.h"
#include "tests/compare/calibrated.h"

namespace flashbench::compare {
namespace {

using report::Report;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "geometric mean of the ratios 1.205" stood without its interval.
TEST(Render, NoMeanWithoutItsInterval) {
  const std::string same = summary_line(compared(calibrated_report(), calibrated_report()));
  EXPECT_THAT(same, HasSubstr("geometric mean of the ratios 1.000 [0.9"));
  EXPECT_THAT(same, HasSubstr("cannot tell which is faster on the whole"));
  const Comparison c = compared(calibrated_report(), calibrated_report(2));
  EXPECT_LT(c.geometric_mean_interval.low, *c.geometric_mean);
  EXPECT_GT(c.geometric_mean_interval.high, *c.geometric_mean);
  EXPECT_THAT(nlohmann::json::parse(json_text(c, {}))["geometric_mean_interval"],
              ::testing::SizeIs(2));
}

TEST(Compare, WhatIsNotConclusiveHasNoRatio) {
  const Report base = calibrated_report();
  Report fresh = calibrated_report(2);
  fresh.results[0].rises = false;
  const Comparison c = compared(base, fresh);
  EXPECT_THAT(verdicts(c), ElementsAre("AMBIGUOUS", "SAME"));
  EXPECT_EQ(c.cases[0].reason, "new: its times do not rise with the work");
  EXPECT_NEAR(c.geometric_mean.value(), 1, 1e-9) << "of the other case alone";
  const auto j = nlohmann::json::parse(json_text(c, {}))["cases"][0];
  EXPECT_TRUE(j["ratio"].is_null());
  EXPECT_FALSE(j["new_median"].is_null());
  EXPECT_THAT(table_text(c, 200), HasSubstr("AMBIGUOUS: new: its times do not rise with the work"));
}

TEST(CompareRounds, RoundsThatAreNotConclusiveAreLeftOut) {
  std::vector<Report> base(12, calibrated_report()), fresh(12, calibrated_report());
  for (std::size_t round = 0; round < 12; ++round) {
    fresh[round].results[1].rises = false;
    if (round >= 4) continue;
    fresh[round].results[0].rises = false;
    fresh[round].results[0].timing->median *= 20;
  }
  const Comparison c = compare_rounds("old", base, "new", fresh, rule_at({}));
  EXPECT_THAT(verdicts(c), ElementsAre("SAME", "AMBIGUOUS"));
  EXPECT_EQ(c.cases[0].rounds, 8u);
}

}  // namespace
}  // namespace flashbench::compare

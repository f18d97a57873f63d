// Shares of the peak beyond what can be.
#include "report/shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/csv.h"
#include "report/table.h"
#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Report with_share(double pct_peak, const char* bound, std::uint64_t bytes) {
  Report report = fixed_report();
  report.results.resize(1);
  Result& r = report.results[0];
  r.pct_peak = pct_peak;
  r.bytes = bytes;
  r.flop_visible = static_cast<double>(bytes) * (std::string(bound) == "compute" ? 1000 : 2);
  conclude(report);
  EXPECT_EQ(r.bound, bound);
  return report;
}

constexpr std::uint64_t kCache = 33554432;  // of fixed_context()

// It was printed on a busy machine.
TEST(Shares, MoreThanTheArithmeticIsWithheldWithItsReason) {
  const Report report = with_share(306, "compute", kCache);
  EXPECT_FALSE(report.results[0].pct_peak);
  EXPECT_THAT(report.results[0].warnings,
              ElementsAre(HasSubstr("no share of the peak: 306 % of the arithmetic was measured")));
  EXPECT_THAT(table_text(report), Not(HasSubstr("306")));
  EXPECT_TRUE(with_share(104, "compute", kCache).results[0].pct_peak);
}

TEST(Shares, WhatStaysInTheCacheIsExplained) {
  const Report report = with_share(154, "memory", kCache);
  EXPECT_TRUE(report.results[0].pct_peak);
  EXPECT_THAT(report.results[0].warnings, IsEmpty());
  const std::string text = table_text(report);
  EXPECT_THAT(text, HasSubstr("154 % memory, cached"));
  EXPECT_THAT(text, HasSubstr("part of the tensors stays in the caches"));
  EXPECT_THAT(report.results[0].why.value(), HasSubstr("faster than memory"));
}

TEST(Shares, PartOfItMayStayInTheCache) {
  EXPECT_TRUE(with_share(190, "memory", 2 * kCache).results[0].pct_peak);
  EXPECT_FALSE(with_share(306, "memory", 2 * kCache).results[0].pct_peak);
  EXPECT_FALSE(with_share(126, "memory", 100 * kCache).results[0].pct_peak);
}

TEST(Shares, OfTimesThatNobodyKnowsThereAreNone) {
  Report report = fixed_report();
  report.results[0].timing->ci95 = {0.1, 0.9};
  conclude(report);
  EXPECT_FALSE(report.results[0].pct_peak);
  EXPECT_TRUE(report.results[1].pct_peak);
}

TEST(Shares, AColdCacheExplainsNothing) {
  Report report = fixed_report();
  report.results[0].cache = "cold";
  report.results[0].pct_peak = 154;
  report.results[0].flop_visible = 1;
  conclude(report);
  EXPECT_FALSE(report.results[0].pct_peak);
}

TEST(Shares, EveryCacheThatTheThreadsHaveCounts) {
  const Context context = fixed_context();
  Result r = fixed_result("flash", 1);
  EXPECT_EQ(last_cache_bytes(context, r), kCache);
  r.threads = 6;
  EXPECT_EQ(last_cache_bytes(context, r), 3 * kCache) << "two threads share one";
  r.device = "0";
  EXPECT_EQ(last_cache_bytes(context, r), 0u) << "no GPU is known";
}

}  // namespace
}  // namespace flashbench::report

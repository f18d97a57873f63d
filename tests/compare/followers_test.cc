// What follows from a field by default is compared as part of it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "compare/comparison.h"
#include "compare/match.h"
#include "tests/compare/calibrated.h"

namespace flashbench::compare {
namespace {

TEST(CompareBy, TheWidthOfValuesFollowsThatOfQueriesAndIsComparedByItself) {
  report::Report report = calibrated_report();
  report.results[0].workload.own_d_v.reset();  // of before the field was there
  report.results[1] = report.results[0];
  report.results[1].workload.d *= 2;
  report.results[1].workload.scale /= std::sqrt(2.0);
  EXPECT_EQ(compare_by("r.json", report, "d", {}).cases.size(), 1u);
  const std::int64_t d = report.results[0].workload.d;
  report.results[0].workload.own_d_v = d;  // as reports say it
  report.results[1].workload.own_d_v = 2 * d;
  EXPECT_EQ(compare_by("r.json", report, "d", {}).cases.size(), 1u);
  report.results[1] = report.results[0];
  report.results[1].workload.own_d_v = d / 2;
  const Comparison c = compare_by("r.json", report, "d_v", {});
  ASSERT_EQ(c.cases.size(), 1u);
  EXPECT_EQ(c.cases[0].change, fmt::format("{} -> {}", d, d / 2));
}

}  // namespace
}  // namespace flashbench::compare

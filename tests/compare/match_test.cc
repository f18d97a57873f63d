// Which cases are held against each other.
#include "compare/match.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "compare/comparison.h"
#include "system/error.h"
#include "tests/compare/calibrated.h"

namespace flashbench::compare {
namespace {

using report::Report;
using report::Result;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Match, EveryPartOfACaseCounts) {
  const Report base = calibrated_report();
  const std::function<void(Result&)> changes[] = {
      [](Result& r) { r.workload.q_len = 1; },   [](Result& r) { r.workload.dtype = "bf16"; },
      [](Result& r) { r.workload.scale = 3; },   [](Result& r) { r.pass = "backward"; },
      [](Result& r) { r.type = "paper"; },       [](Result& r) { r.backend = "cuda"; },
      [](Result& r) { r.kernel_request = "k"; }, [](Result& r) { r.isa = "scalar"; },
      [](Result& r) { r.threads = 1; },          [](Result& r) { r.device = "1"; },
      [](Result& r) { r.cache = "cold"; },
  };
  for (const auto& change : changes) {
    Report fresh = base;
    change(fresh.results[0]);
    const Matching m = match(base, fresh);
    EXPECT_EQ(m.both.size(), 1u);
    EXPECT_THAT(m.only_base, ElementsAre(&base.results[0]));
    EXPECT_THAT(m.only_new, ElementsAre(&fresh.results[0]));
  }
}

TEST(Match, OrderAndKernelThatRanDoNotCount) {
  const Report base = calibrated_report();
  Report fresh = base;
  std::swap(fresh.results[0], fresh.results[1]);
  fresh.results[0].kernel = "another";
  const Matching m = match(base, fresh);
  ASSERT_EQ(m.both.size(), 2u);
  EXPECT_EQ(m.both[0].fresh, &fresh.results[1]);
  EXPECT_THAT(m.only_new, IsEmpty());
}

TEST(Match, ACaseThatIsThereTwiceIsPairedInOrder) {
  Report base = calibrated_report(), fresh = base;
  base.results.push_back(base.results[0]);
  const Matching m = match(base, fresh);
  EXPECT_EQ(m.both.size(), 2u);
  EXPECT_THAT(m.only_base, ElementsAre(&base.results[2]));
}

TEST(MatchBy, OneFieldAndNothingElse) {
  Report report = calibrated_report();
  Result other = report.results[0];
  other.isa = "scalar";
  report.results.push_back(other);
  other.threads = 1;  // differs from each in two fields or in another one
  report.results.push_back(other);
  const std::vector<Pair> isa = match_by(report, "isa");
  ASSERT_EQ(isa.size(), 1u);
  EXPECT_EQ(isa[0].base, &report.results[0]);
  EXPECT_EQ(isa[0].fresh, &report.results[2]);
  EXPECT_EQ(match_by(report, "threads").size(), 1u);
  EXPECT_EQ(match_by(report, "type").size(), 1u);
  EXPECT_THAT(match_by(report, "dtype"), IsEmpty());
}

TEST(MatchBy, WhatFollowsFromAFieldIsPartOfIt) {
  Report report = calibrated_report();
  report.results.resize(1);
  Result r = report.results[0];
  r.workload.d = 64;
  r.workload.own_d_v = 64;
  r.workload.scale = 0.125;
  report.results.push_back(r);
  EXPECT_EQ(match_by(report, "d").size(), 1u);
  r = report.results[0];
  r.workload.q_len = r.workload.kv_len = 77;
  report.results.push_back(r);
  EXPECT_EQ(match_by(report, "q_len").size(), 1u);
  report.results.back().workload.kv_len = 5;
  EXPECT_THAT(match_by(report, "q_len"), IsEmpty());
}

// The best level of bf16 is not that of f32.
TEST(MatchBy, EachDtypeAtItsOwnIsaIsComparedWhereNoneIsShared) {
  Report report = calibrated_report();
  report.results.resize(1);
  Result r = report.results[0];
  r.workload.dtype = "bf16";
  r.isa = "avx512_bf16";
  report.results.push_back(r);
  const Comparison c = compare_by("r.json", report, "dtype", Rule{});
  ASSERT_EQ(c.cases.size(), 1u);
  EXPECT_THAT(c.notes, testing::Contains(testing::HasSubstr("--isa")));
  EXPECT_THAT(nearest_text(report, "dtype"), testing::HasSubstr("isa ("));
}

TEST(MatchBy, WhereNoTwoCasesMatchTheNearestSayWhy) {
  Report report = calibrated_report();
  report.results.resize(1);
  Result r = report.results[0];
  r.pass = "backward";
  r.workload.seed = 7;
  report.results.push_back(r);
  try {
    compare_by("r.json", report, "pass", Rule{});
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("; the nearest also differ in seed (0 and 7)"));
  }
}

TEST(MatchBy, TheFileOfATensorIsPartOfWhereItComesFrom) {
  Report report = calibrated_report();
  report.results.resize(1);
  Result r = report.results[0];
  report.results[0].workload.others["sinks"] = std::string("none");
  r.workload.others["sinks"] = std::string("file");
  r.workload.input += "; sinks=s.npy; sinks_name=x";
  report.results.push_back(r);
  EXPECT_EQ(match_by(report, "sinks").size(), 1u);
}

TEST(MatchBy, AnUnknownFieldIsNamed) {
  try {
    match_by(calibrated_report(), "colour");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("--by 'colour' is no field of a case; use b, h,"));
  }
}

}  // namespace
}  // namespace flashbench::compare

// Times that do not rise with the work, and what is not concluded from them.
#include "report/rises.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/table.h"
#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Result of_length(const std::string& type, std::int64_t q_len, std::int64_t kv_len,
                 double median_s) {
  Result r = fixed_result(type, median_s);
  r.workload.h = r.workload.h_kv = 32;
  r.workload.d = 128;
  r.workload.q_len = q_len;
  r.workload.kv_len = kv_len;
  r.flop_visible = 4.0 * 32 * 128 * static_cast<double>(q_len * kv_len);
  r.bytes = static_cast<std::uint64_t>(4 * 32 * 128 * 2 * (q_len + kv_len));
  r.bound = r.flop_visible > 16.0 * static_cast<double>(r.bytes) ? "compute" : "memory";
  return r;
}

std::vector<std::optional<bool>> rises(std::vector<Result> results) {
  derive_rises(results);
  std::vector<std::optional<bool>> out;
  for (const Result& r : results) out.push_back(r.rises);
  return out;
}

// Both were a scheduler's slice; alone they take 0.97 and 2.75 ms.
TEST(Rises, DecodeOfTwiceTheKeysInTheSameTimeIsFlagged) {
  std::vector<Result> results = {of_length("flash", 1, 2048, 0.02399),
                                 of_length("flash", 1, 4096, 0.02399)};
  EXPECT_THAT(rises(results), Each(std::optional(false)));
  derive_rises(results);
  for (const Result& r : results)
    EXPECT_THAT(r.warnings,
                ElementsAre(HasSubstr("times do not rise: flash takes 23.99 ms at 1 x 2048 queries "
                                      "x keys and 23.99 ms at 1 x 4096, with 2 times the work")));
  derive_rises(results);
  EXPECT_EQ(results[0].warnings.size(), 1u) << "however often it is derived";
}

TEST(Rises, TimesThatRiseAreFine) {
  EXPECT_THAT(rises({of_length("flash", 1, 2048, 0.97e-3), of_length("flash", 1, 4096, 2.75e-3)}),
              Each(std::optional(true)));
  EXPECT_THAT(rises({of_length("normal", 256, 256, 1e-3), of_length("normal", 4096, 4096, 200e-3)}),
              Each(std::optional(true)));
}

TEST(Rises, ALongTimeOfAShortCaseIsSeenFromAnyLength) {
  EXPECT_THAT(rises({of_length("flash", 256, 256, 20e-3), of_length("flash", 512, 512, 1e-3),
                     of_length("flash", 1024, 1024, 4e-3)}),
              Each(std::optional(false)));
}

TEST(Rises, FineStepsAreJudgedOverSeveral) {
  std::vector<Result> flat, steep;
  for (int i = 16; i <= 32; ++i) {
    flat.push_back(of_length("flash", 1, 512 * i, 24e-3));
    steep.push_back(of_length("flash", 1, 512 * i, 1e-3 * i));
  }
  EXPECT_THAT(rises(flat), Each(std::optional(false)));
  EXPECT_THAT(rises(steep), Each(std::optional(true)));
}

TEST(Rises, ShortTimesMayBeFixedCosts) {
  EXPECT_THAT(rises({of_length("flash", 1, 64, 12e-6), of_length("flash", 1, 128, 12e-6)}),
              Each(std::optional(true)));
}

// One head on many cores: more queries occupy more of them.
TEST(Rises, MoreQueriesThatFillIdleCoresAreFine) {
  std::vector<Result> results = {of_length("flash", 128, 65536, 4e-3),
                                 of_length("flash", 256, 65536, 4e-3)};
  EXPECT_THAT(rises(results), Each(std::optional(false))) << "32 heads fill two threads";
  for (Result& r : results) r.threads = 64;
  EXPECT_THAT(rises(results), Each(std::optional(true)));
}

TEST(Rises, OnlyASweepOfOneTypeIsJudged) {
  EXPECT_THAT(rises({of_length("flash", 1, 2048, 0.024), of_length("normal", 1, 4096, 0.024)}),
              Each(std::optional<bool>()));
  std::vector<Result> other = {of_length("flash", 1, 2048, 0.024),
                               of_length("flash", 1, 4096, 0.024)};
  other[1].pass = "backward";
  EXPECT_THAT(rises(other), Each(std::optional<bool>()));
}

TEST(Rises, NothingIsConcludedFromASweepThatDoesNot) {
  std::vector<Result> results;
  for (const std::int64_t keys : {2048, 4096, 8192}) {
    results.push_back(of_length("flash", 1, keys, keys == 8192 ? 48e-3 : 23.99e-3));
    results.push_back(of_length("normal", 1, keys, 10e-6 * static_cast<double>(keys)));
  }
  const Report report = concluded(results);
  EXPECT_TRUE(report.summary.crossover.value().empty());
  EXPECT_TRUE(report.summary.lead.empty());
  for (const Result& r : report.results) {
    EXPECT_FALSE(r.speedup_over) << r.type;
    EXPECT_EQ(r.pct_peak.has_value(), r.type == "normal");
    EXPECT_TRUE(r.timing) << "the numbers themselves stay";
  }
  const std::string text = table_text(report);
  EXPECT_THAT(text, HasSubstr("cannot tell whether flash or normal is faster in any of 3 cases"));
  EXPECT_THAT(text, HasSubstr("flash: its times do not rise with the work"));
  EXPECT_THAT(text, Not(HasSubstr("as fast")));
  EXPECT_THAT(text, Not(HasSubstr("overtakes")));
}

}  // namespace
}  // namespace flashbench::report

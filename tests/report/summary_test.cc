// The lines below a table: few, the headline first, and no more than the samples say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "report/csv.h"
#include "report/grid.h"
#include "report/markdown.h"
#include "report/summary_lines.h"
#include "report/table.h"
#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

/// flash and normal at 64, 128, ..., where normal takes `ratios` times as long, known to ± `noise`.
std::vector<Result> swept(std::span<const double> ratios, double noise = 0.01) {
  std::vector<Result> results;
  for (std::size_t i = 0; i < ratios.size(); ++i)
    for (const std::string type : {"flash", "normal"}) {
      const double flash_s = std::pow(4.0, static_cast<double>(i));
      Result r = fixed_result(type, type == "flash" ? flash_s : flash_s * ratios[i]);
      r.timing->ci95 = {r.timing->median * (1 - noise), r.timing->median * (1 + noise)};
      r.workload.q_len = r.workload.kv_len = std::int64_t{64} << i;
      r.flop_visible *= std::pow(4.0, static_cast<double>(i));
      results.push_back(r);
    }
  return results;
}

std::vector<std::string> summary(const Report& report) { return make_grid(report).summary; }

TEST(Summary, BeginsWithWhoIsFasterAndHowSurely) {
  const std::vector<std::string> lines =
      summary(concluded({fixed_result("flash", 0.2513), fixed_result("normal", 0.7802)}));
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(lines[0],
            "flash is faster than normal: 3.10x [3.05, 3.16] as fast, 251.3 ms against 780.2 ms");
}

TEST(Summary, SaysHowFlashAndPaperCompare) {
  const Report two = concluded({fixed_result("flash", 0.2), fixed_result("paper", 2.0)});
  EXPECT_THAT(summary(two)[0], StartsWith("flash is faster than paper: 10.0x ["));
  EXPECT_THAT(table_text(two), Not(HasSubstr("as fast as normal"))) << "which did not run";
}

TEST(Summary, CannotTellWhereTheIntervalHoldsOne) {
  const std::vector<std::string> lines = summary(concluded(swept(std::vector{1.02}, 0.05)));
  EXPECT_THAT(lines[0], StartsWith("cannot tell whether flash or normal is faster: the noise is "
                                   "larger than the difference, 1.02x [0.92, 1.13]"));
}

TEST(Summary, EqualTimesAreCalledEqual) {
  const std::vector<std::string> lines = summary(concluded(swept(std::vector{1.001}, 0.004)));
  EXPECT_THAT(lines[0], StartsWith("cannot tell whether flash or normal is faster: they take the "
                                   "same time within 2 %, 1.00x [0.99, 1.01]"));
}

TEST(Summary, OneSampleEachIsTooFew) {
  std::vector<Result> results = swept(std::vector{3.0});
  for (Result& r : results) {
    measure::Samples one;
    one.times_s = {r.timing->median};
    r.timing = timing_of(one);
  }
  EXPECT_THAT(summary(concluded(results))[0], HasSubstr("too few samples"));
}

TEST(Summary, CountsWhatASweepShows) {
  const std::vector<std::string> lines =
      summary(concluded(swept(std::vector{0.5, 0.9, 1.0, 1.5, 2.0})));
  ASSERT_THAT(lines, SizeIs(kSummaryLines));
  EXPECT_EQ(lines[0],
            "flash is faster than normal in 2 of 5 cases: 1.50x [1.47, 1.54] (b1 h2 512x512 d512) "
            "to 2.00x [1.96, 2.05] (b1 h2 1024x1024 d512) as fast");
  EXPECT_THAT(lines[1], StartsWith("flash is slower than normal in 2 of 5 cases: 0.50x"));
  EXPECT_THAT(lines[2], StartsWith("cannot tell whether flash or normal is faster in 1 of 5"));
  EXPECT_THAT(lines[3], StartsWith("flash overtakes normal between q_len = 128 and 512 ("));
}

// "flash overtakes normal at q_len = 481" was said where they are equal.
TEST(Summary, NothingIsOvertakenWithinTheNoise) {
  for (const std::vector<double>& ratios :
       {std::vector{0.98, 0.99, 1.01, 1.02}, {0.5, 0.99, 1.01, 1.0}, {1.01, 0.99, 1.4, 1.5}}) {
    const Report report = concluded(swept(ratios, 0.03));
    EXPECT_TRUE(report.summary.crossover.value().empty());
    EXPECT_TRUE(report.summary.lead.empty());
    EXPECT_THAT(table_text(report), Not(HasSubstr("overtakes")));
  }
}

TEST(Summary, HasFiveLinesHoweverMuchThereIsToSay) {
  std::vector<Result> results;
  for (const int h : {1, 2, 4})
    for (const char* pass : {"forward", "backward"})
      for (Result r : swept(std::vector{0.5, 1.0, 2.0, 0.4})) {
        r.workload.h = h;
        r.pass = pass;
        results.push_back(r);
        r.type = "paper";
        results.push_back(r);
      }
  Result wrong = troubled_report().results[1];
  Result skipped = troubled_report().results[0];
  results.insert(results.end(), {wrong, wrong, skipped});
  for (Result& r : results) r.warnings = {"noisy: very", "outliers: two", "odd: yes", "even: no"};
  const Report report = concluded(results);
  EXPECT_THAT(summary(report), SizeIs(kSummaryLines));
  EXPECT_THAT(summary(report)[0], StartsWith("WRONG: 2 of "));
  EXPECT_THAT(summary(report)[1], StartsWith("reproduce: "));
  EXPECT_THAT(summary(report).back(), HasSubstr(" more lines with --explain"));
  for (const char* rest : {"cannot tell whether paper", "paper is faster", "paper is slower"})
    EXPECT_THAT(explained_table_text(report), HasSubstr(rest)) << "what was cut";
  std::istringstream lines(table_text(report));
  std::size_t below = 0, blank = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) ++blank;
    if (blank == 2 && !line.empty()) ++below;
  }
  EXPECT_EQ(blank, 2u) << "after the caption and after the table";
  EXPECT_EQ(below, kSummaryLines);
}

TEST(Summary, ExplanationsAreThereWhenAskedFor) {
  const Report report = concluded(swept(std::vector{0.5, 2.0}));
  EXPECT_THAT(table_text(report), Not(HasSubstr("is the limit")));
  EXPECT_THAT(explained_table_text(report),
              AllOf(HasSubstr("is the limit"), HasSubstr("flash is slower than normal (b1 h2 64x64 "
                                                         "d512): 0.50x [0.49, 0.52] as fast")));
}

TEST(Summary, EveryRatioOfATableHasItsInterval) {
  const Report report = concluded(swept(std::vector{0.5, 1.0, 2.0}));
  const std::string text = table_text(report);
  EXPECT_THAT(text, HasSubstr("as fast as normal"));
  EXPECT_THAT(text, HasSubstr("2.00x [1.96, 2.05]"));
  EXPECT_THAT(text, HasSubstr("cannot tell [0.98, 1.03]"));
  EXPECT_THAT(markdown_text(report), HasSubstr("| 2.00x [1.96, 2.05] |"));
  EXPECT_THAT(csv_text(report), HasSubstr("speedup_over_normal,speedup_over_normal_low,"
                                          "speedup_over_normal_high,"));
}

TEST(Summary, OfOneTypeItSaysWhatItReaches) {
  Report report = fixed_report();
  report.results.resize(1);
  conclude(report);
  EXPECT_EQ(summary(report)[0], "flash reaches 78 % of this machine's fastest arithmetic");
}

TEST(Summary, WithoutNumbersItSaysWhy) {
  Report report = fixed_report();
  for (Result& r : report.results) r.check = {};
  conclude(report);
  EXPECT_THAT(summary(report),
              ::testing::ElementsAre(StartsWith("nothing was verified (--verify none)")));
}

}  // namespace
}  // namespace flashbench::report

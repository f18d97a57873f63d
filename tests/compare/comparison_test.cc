#include "compare/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "compare/looks.h"
#include "compare/render.h"
#include "system/error.h"
#include "tests/compare/calibrated.h"

namespace flashbench::compare {
namespace {

using report::Report;
using report::Result;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Compare, EqualReportsAreTheSame) {
  const Comparison c = compared(calibrated_report(), calibrated_report());
  EXPECT_THAT(verdicts(c), ElementsAre("SAME", "SAME"));
  EXPECT_DOUBLE_EQ(c.geometric_mean.value(), 1);
  EXPECT_THAT(c.notes, ElementsAre(HasSubstr("the same build on the same machine")));
}

// A plug-in's file that was built anew is no noise of the same build.
TEST(Compare, AnotherFileOfTheSameNameIsADifference) {
  const auto with_guest = [](const std::string& sha256) {
    Report report = calibrated_report();
    report.results[0].plugin = "./mine.so";
    report.results[0].guest.emplace().sha256 = sha256;
    return report;
  };
  const Report before = with_guest("0123456789abcdef"), after = with_guest("fedcba9876543210");
  EXPECT_THAT(compared(before, before).notes, ElementsAre(HasSubstr("the same build")));
  EXPECT_THAT(compared(before, after).notes,
              ElementsAre("different guests: called './mine.so (sha256 0123456789ab)' against "
                          "'./mine.so (sha256 fedcba987654)'"));
  EXPECT_THAT(compared(calibrated_report(), before).notes,
              ElementsAre(HasSubstr("different guests: called '' against './mine.so")));
}

TEST(Compare, SlowerAndFaster) {
  const Report base = calibrated_report(), fresh = calibrated_report(1.1);
  const Comparison c = compared(base, fresh);
  EXPECT_THAT(verdicts(c), ElementsAre("SLOWER", "SAME"));
  EXPECT_NEAR(c.cases[0].ratio, 1.1, 1e-12);
  EXPECT_NEAR(*c.geometric_mean, std::sqrt(1.1), 1e-12);
  EXPECT_THAT(verdicts(compared(fresh, base)), ElementsAre("FASTER", "SAME"));
}

TEST(Compare, AVerdictNeedsAnEffectBeyondWhatRunsDiffer) {
  Report base = calibrated_report(), fresh = calibrated_report(1.1);
  for (Report* r : {&base, &fresh})
    for (Result& result : r->results) result.calibration->spread = 0.05;
  EXPECT_THAT(verdicts(compared(base, fresh)), ElementsAre("AMBIGUOUS", "AMBIGUOUS"));
}

/// What the verdict of flash is, and why, after `change` of its result in the new report.
std::pair<std::string, std::string> verdict_after(double slowdown,
                                                  const std::function<void(Result&)>& change) {
  Report fresh = calibrated_report(slowdown);
  change(fresh.results[0]);
  const Comparison c = compared(calibrated_report(), fresh);
  return {std::string(verdict_name(c.cases[0])), c.cases[0].reason};
}

TEST(Compare, AMachineWhosePeakMovedAsMuchSettlesNothing) {
  const auto clocked_down = [](Result& r) { *r.pct_peak *= 1.1; };
  EXPECT_EQ(verdict_after(1.1, [](Result&) {}).first, "SLOWER");
  EXPECT_EQ(verdict_after(1.1, clocked_down),
            std::pair(std::string("AMBIGUOUS"),
                      std::string("the multiply-add rate of the machine fell by 9.1 % from base to "
                                  "new")));
  EXPECT_EQ(verdict_after(1.25, clocked_down).first, "SLOWER") << "more than the machine lost";
  EXPECT_EQ(verdict_after(1, clocked_down).first, "AMBIGUOUS")
      << "as slow as before on a slower machine may be faster";
  EXPECT_EQ(verdict_after(1.1, [](Result& r) { r.pct_peak.reset(); }).first, "SLOWER");
}

TEST(Compare, LoadFromOthersIsNoVerdict) {
  const auto loaded = [](std::optional<double> cpus) {
    return [cpus](Result& r) {
      r.warnings = {"load from others: 6 % of the 2 processors while sampling; stop them"};
      r.others_cpus = cpus;
    };
  };
  const auto [verdict, reason] = verdict_after(1.1, loaded(0.12));
  EXPECT_EQ(verdict, "AMBIGUOUS");
  EXPECT_EQ(reason, "new: load from others: 6 % of the 2 processors while sampling");
  EXPECT_EQ(verdict_after(1, loaded(0.12)).first, "AMBIGUOUS");
  EXPECT_EQ(verdict_after(0.9, loaded(0.12)).first, "FASTER") << "faster in spite of the load";
  EXPECT_EQ(verdict_after(1.3, loaded(0.12)).first, "SLOWER") << "more than it can have cost";
  EXPECT_EQ(verdict_after(5, loaded(1.0)).first, "AMBIGUOUS") << "a whole processor bounds nothing";
  EXPECT_EQ(verdict_after(5, loaded(std::nullopt)).first, "AMBIGUOUS") << "of unknown size";
}

TEST(Compare, ACalibrationOfAnotherMomentIsNotBelieved) {
  const auto stale = [](Result& r) {
    for (double& m : r.calibration->medians) m /= 1.1;
  };
  const auto [verdict, reason] = verdict_after(1.1, stale);
  EXPECT_EQ(verdict, "AMBIGUOUS");
  EXPECT_EQ(reason, "new: its samples took 10 % longer than its calibration");
  EXPECT_EQ(verdict_after(1, stale).first, "AMBIGUOUS");
  EXPECT_EQ(verdict_after(1.3, stale).first, "SLOWER");
}

TEST(Compare, WithoutACalibrationASpreadIsAssumedAndSaid) {
  Report base = calibrated_report(), fresh = calibrated_report(1.1);
  for (Result& r : fresh.results) r.calibration.reset();
  EXPECT_THAT(verdicts(compared(base, fresh)), ElementsAre("SLOWER", "SAME")) << "base knows";
  for (Result& r : base.results) r.calibration.reset();
  const Comparison c = compared(base, fresh);
  EXPECT_THAT(verdicts(c), ElementsAre("AMBIGUOUS", "AMBIGUOUS"));
  EXPECT_THAT(c.notes, ::testing::Contains(HasSubstr("no calibration is stored")));
  EXPECT_THAT(verdicts(compared(base, calibrated_report(2))), ElementsAre("SLOWER", "SAME"));
}

TEST(Compare, AWrongResultIsWrongHoweverFastItIs) {
  const Report base = calibrated_report();
  Report fresh = calibrated_report(0.5);
  fresh.results[0].status = report::Status::kFailed;
  fresh.results[0].check.verdict = "fail";
  fresh.results[0].reason = "wrong result: dQ 35x";
  fresh.results[1].status = report::Status::kFailed;
  fresh.results[1].reason = "device lost";
  const Comparison c = compared(base, fresh);
  EXPECT_THAT(verdicts(c), ElementsAre("WRONG", "FAILED"));
  EXPECT_THAT(c.cases[0].reason, HasSubstr("dQ 35x"));
  EXPECT_FALSE(c.geometric_mean);
}

TEST(Compare, CasesOfOneSideAreListed) {
  Report base = calibrated_report(), fresh = base;
  base.results[0].workload.d = 64;
  fresh.results[1].status = report::Status::kSkipped;
  fresh.results[1].reason = "needs 68.7 GB";
  const Comparison c = compared(base, fresh);
  EXPECT_THAT(verdicts(c), ElementsAre("MISSING", "MISSING", "ADDED"));
  EXPECT_THAT(c.cases[0].reason, HasSubstr("68.7 GB"));
  EXPECT_THAT(c.cases[1].reason, HasSubstr("only in base.json"));
  EXPECT_THAT(c.cases[2].reason, HasSubstr("only in new.json"));
}

TEST(Compare, UnverifiedNumbersDoNotCount) {
  const Report base = calibrated_report();
  Report fresh = base;
  fresh.results[0].check.verdict = "not verified";
  EXPECT_THAT(verdicts(compared(base, fresh)), ElementsAre("MISSING", "SAME"));
  EXPECT_THAT(verdicts(compared(fresh, fresh)), ElementsAre("NONE", "SAME"));
}

TEST(Compare, AnotherMachineOrBuildIsPointedOut) {
  const Report base = calibrated_report();
  Report fresh = base;
  fresh.context.cpu.model = "another";
  fresh.context.flags = "Debug: -O0";
  const Comparison c = compared(base, fresh);
  EXPECT_THAT(c.notes,
              ElementsAre("different machine: processor 'AMD EPYC' against 'another'",
                          "different build: compiler flags 'Release: -O3 -DNDEBUG' against 'Debug: "
                          "-O0'"));
}

TEST(CompareBy, InterleavedCasesNeedNoCalibration) {
  Report report = calibrated_report();
  for (Result& r : report.results) r.calibration.reset();
  const Comparison c = compare_by("r.json", report, "type", {});
  ASSERT_THAT(verdicts(c), ElementsAre("SLOWER"));
  EXPECT_EQ(c.cases[0].change, "flash -> normal");
  EXPECT_FALSE(c.cases[0].between);
  EXPECT_THROW(compare_by("r.json", report, "isa", {}), UsageError);
}

// "- -> 4" beside a column that said "window left 4" of both.
TEST(CompareBy, AFieldThatIsAbsentInOneCaseIsCalledAsItsFlagDoes) {
  Report report = calibrated_report();
  report.results[1] = report.results[0];
  report.results[1].workload.others["window_left"] = std::int64_t{4};
  for (const auto& [first, change] : {std::pair{0, "none -> 4"}, std::pair{1, "4 -> none"}}) {
    if (first == 1) std::swap(report.results[0], report.results[1]);
    const Comparison c = compare_by("r.json", report, "window_left", {});
    ASSERT_EQ(c.cases.size(), 1u);
    EXPECT_EQ(c.cases[0].change, change);
    EXPECT_THAT(table_text(c), Not(HasSubstr("window left")));
  }
}

TEST(CompareBy, CasesOneAfterTheOtherDoNeedIt) {
  Report report = calibrated_report();
  report.results[1] = report::fixed_result("flash", 0.27);
  report.results[1].workload.dtype = "bf16";
  report.results[0].calibration.reset();
  EXPECT_THAT(verdicts(compare_by("r.json", report, "dtype", {})), ElementsAre("AMBIGUOUS"));
}

TEST(CompareRounds, DriftThatHitsBothIsNoDifference) {
  std::vector<Report> base, fresh;
  for (int round = 0; round < 16; ++round) {
    const double machine = round % 5 == 0 ? 3 : round % 2 == 0 ? 1.3 : 1;
    base.push_back(calibrated_report());
    fresh.push_back(calibrated_report());
    for (Report* r : {&base.back(), &fresh.back()})
      for (Result& result : r->results) result.timing->median *= machine;
    fresh.back().results[0].timing->median *= 1.05 + 0.001 * (round % 3);
  }
  const Comparison c = compare_rounds("old", base, "new", fresh, rule_at({}));
  EXPECT_THAT(verdicts(c), ElementsAre("SLOWER", "SAME"));
  EXPECT_EQ(c.cases[0].rounds, 16u);
  EXPECT_NEAR(c.cases[0].ratio, 1.051, 1e-9);
  EXPECT_NEAR(round_spread(base, fresh).value(), 0.0008, 1e-4);
}

TEST(CompareRounds, OneWrongRoundIsWrong) {
  std::vector<Report> base(8, calibrated_report()), fresh(8, calibrated_report());
  fresh[5].results[1].status = report::Status::kFailed;
  fresh[5].results[1].check.verdict = "fail";
  EXPECT_THAT(verdicts(compare_rounds("old", base, "new", fresh, {})),
              ElementsAre("SAME", "WRONG"));
}

TEST(CompareRounds, FewRoundsAreSaidToBeFew) {
  const std::vector<Report> base(2, calibrated_report());
  const Comparison c = compare_rounds("old", base, "new", base, {});
  EXPECT_EQ(c.cases[0].reason, "only 2 rounds");
}

TEST(Render, TheTableSaysWhatItMeans) {
  const std::string text = table_text(compared(calibrated_report(), calibrated_report(1.1)));
  EXPECT_THAT(text, HasSubstr("base base.json: flashbench 0.1.0 (01234567), GNU 12.2.0"));
  EXPECT_THAT(text, HasSubstr("SLOWER     takes over 3 % longer"));
  EXPECT_THAT(text, Not(HasSubstr("FASTER")));
  EXPECT_THAT(text, HasSubstr("2 cases: 1 SLOWER, 1 SAME; geometric mean of the ratios 1.049 ["));
  EXPECT_THAT(text, HasSubstr("], new takes 4.9 % longer"));
}

TEST(Render, MarkdownFoldsWhatDidNotChange) {
  const std::string text = markdown_text(compared(calibrated_report(), calibrated_report(1.1)));
  EXPECT_THAT(text, ::testing::StartsWith("**2 cases: 1 SLOWER, 1 SAME"));
  EXPECT_THAT(text, HasSubstr("| flash | 250.0 ms | 275.0 ms | 1.100 |"));
  EXPECT_LT(text.find("<details>"), text.find("| normal |"));
}

/// Others disturbed that share of the samples of a case, and made them five times as long.
void disturb(Result& r, double share) {
  report::Timing& t = *r.timing;
  t.lost.assign(t.times.size(), 0.0);
  const auto count = static_cast<std::size_t>(share * static_cast<double>(t.times.size()));
  for (std::size_t i = 0; i < count; ++i) {
    t.lost[i] = 0.8;
    t.times[i] *= 5;
  }
  t.marked = static_cast<std::int64_t>(count);
  t.disturbed = share == 1;
}

TEST(Disturbed, SamplesDoNotMakeACaseSlower) {
  Report fresh = calibrated_report();
  for (Result& r : fresh.results) disturb(r, 0.6);
  EXPECT_THAT(verdicts(compared(calibrated_report(), fresh)), ElementsAre("SAME", "SAME"));
}

TEST(Disturbed, CasesAreNotJudgedAndTheReasonIsPrinted) {
  Report fresh = calibrated_report();
  disturb(fresh.results[0], 1);
  const Comparison c = compared(calibrated_report(), fresh);
  EXPECT_THAT(verdicts(c), ElementsAre("AMBIGUOUS", "SAME"));
  EXPECT_EQ(c.cases[0].reason, "new was disturbed by other programs");
  EXPECT_FALSE(judged(c.cases[0]));
  EXPECT_TRUE(judged(c.cases[1]));
}

TEST(Disturbed, RoundsAreLeftOut) {
  std::vector<Report> base, fresh;
  for (int i = 0; i < 10; ++i) {
    base.push_back(calibrated_report(1 + 0.001 * (i % 3)));
    fresh.push_back(calibrated_report());
    if (i % 2 == 0) disturb(fresh.back().results[0], 1);
    disturb(fresh.back().results[1], 1);
  }
  const Comparison c = compare_rounds("old", base, "new", fresh, {});
  EXPECT_EQ(c.cases[0].rounds, 5u);
  EXPECT_EQ(verdict_name(c.cases[0]), "SAME");
  EXPECT_EQ(verdict_name(c.cases[1]), "AMBIGUOUS");
  EXPECT_EQ(c.cases[1].reason, "other programs disturbed all 10 rounds");
}

TEST(Disturbed, ALoadBesideWatchedSamplesLeavesALargeDifferenceFirm) {
  Report fresh = calibrated_report(3.6);
  for (Result& r : fresh.results) {
    r.warnings = {"load from others: 50 % of the 2 processors while sampling; stop them"};
    r.others_cpus = 1.0;
  }
  EXPECT_EQ(verdicts(compared(calibrated_report(), fresh))[0], "AMBIGUOUS");
  for (Result& r : fresh.results) r.timing->lost.assign(r.timing->times.size(), 0.0);
  EXPECT_EQ(verdicts(compared(calibrated_report(), fresh))[0], "SLOWER");
}

TEST(Render, JsonHasEveryCaseAndNoInfinity) {
  const std::vector<Report> base(2, calibrated_report());
  const auto few = nlohmann::json::parse(
      json_text(compare_rounds("old", base, "new", base, {}), {"flashbench"}));
  EXPECT_EQ(few["kind"], "comparison");
  EXPECT_EQ(few["cases"].size(), 2u);
  EXPECT_TRUE(few["cases"][0]["interval"][1].is_null());
  EXPECT_EQ(few["counts"]["AMBIGUOUS"], 2);
  const Comparison c = compared(calibrated_report(), calibrated_report(1.1));
  const auto j = nlohmann::json::parse(json_text(c, {}));
  EXPECT_EQ(j["cases"][0]["verdict"], "SLOWER");
  EXPECT_EQ(j["cases"][0]["workload"]["q_len"], 4096);
  EXPECT_EQ(j["base"]["context"]["cpu"]["model"], "AMD EPYC");
  EXPECT_NEAR(j["cases"][0]["drift"][1].get<double>(), 1, 1e-9);
}

}  // namespace
}  // namespace flashbench::compare

#include "report/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Report explained() {
  Report report = fixed_report();
  for (Result& r : report.results)
    r.io_bytes = {{"normal", 10.0 * static_cast<double>(r.bytes)}, {"paper", 2e8}, {"flash", 7e7}};
  derive_bounds(report);
  derive_explanations(report);
  return report;
}

TEST(Explain, BalanceComesFromThePeaksOfThisRun) {
  const Report report = explained();
  const Result& r = report.results[0];
  ASSERT_TRUE(r.balance && r.intensity && r.why);
  EXPECT_NEAR(*r.balance, 350.0 / 21.3, 1e-9);
  EXPECT_NEAR(*r.intensity, r.flop_visible / static_cast<double>(r.bytes), 1e-9);
  EXPECT_THAT(*r.why, HasSubstr("arithmetic is the limit"));
  EXPECT_THAT(*r.why, HasSubstr("78 %"));
}

// 2 FLOP for every byte were said to be limited by arithmetic on a machine that balances at 3.55:
// one reading of a busy machine had decided the bound, the medians of all of them the balance.
TEST(Explain, TheBoundIsTheOneThatIntensityAndBalanceGive) {
  Report report = fixed_report();
  for (Result& r : report.results) {
    r.flop_visible = 2.0 * static_cast<double>(r.bytes);
    r.bound = "compute";
  }
  derive_bounds(report);
  derive_explanations(report);
  for (const Result& r : report.results) {
    EXPECT_EQ(r.bound, "memory");
    EXPECT_THAT(r.why.value(), HasSubstr("memory is the limit"));
  }
}

TEST(Explain, BalanceIsOfTheGpuThatComputed) {
  Report report = fixed_report();
  for (Result& r : report.results) {
    r.backend = "cuda";
    r.isa.reset();
    r.threads.reset();
    r.device = "1";
  }
  Peak flops;
  flops.backend = "cuda";
  flops.isa = "fma.f32";
  flops.threads = 135168;
  flops.dtype = "f32";
  flops.gflops = 60000;
  flops.device = "1";
  Peak bytes = flops;
  bytes.isa = "ld.global";
  bytes.dtype.reset();
  bytes.gflops.reset();
  bytes.read_gb_s = 3000;
  report.peaks.insert(report.peaks.end(), {flops, bytes});
  flops.device = bytes.device = "0";  // another one, twice as fast
  flops.gflops = 120000;
  report.peaks.insert(report.peaks.end(), {flops, bytes});
  derive_bounds(report);
  derive_explanations(report);
  EXPECT_DOUBLE_EQ(report.results[0].balance.value(), 20.0);
}

TEST(Explain, NormalIsToldOfItsMatrices) {
  Report report = explained();
  for (const Result& r : report.results) {
    EXPECT_EQ(r.why.value().find("score matrices move") != std::string::npos, r.type == "normal");
  }
}

TEST(Explain, TheProfileNamesWhatTakesTheRest) {
  Result r = explained().results[0];
  r.phases = {{"pack", 1, 1, 0}, {"S = Q K^T", 6, 1, 0, 1e9}, {"softmax", 3, 1, 0}};
  EXPECT_THAT(explanation(r).value(),
              HasSubstr("60 % of its thread time is in the matrix products"));
  EXPECT_THAT(explanation(r).value(), HasSubstr("30 % in 'softmax'"));
  r.pct_peak = 95;
  EXPECT_THAT(explanation(r).value(), Not(HasSubstr("softmax"))) << "nothing to explain";
}

TEST(Explain, MaskedPairsThatAreComputedAreNamed) {
  Result r = explained().results[0];
  r.flop_executed = 2 * r.flop_visible;
  EXPECT_THAT(explanation(r).value(), HasSubstr("computes 2.0x the pairs that count"));
}

TEST(Explain, NothingIsSaidWithoutNumbersOrPeaks) {
  Report report = fixed_report();
  report.peaks.clear();
  derive_bounds(report);
  derive_explanations(report);
  for (const Result& r : report.results) EXPECT_FALSE(r.why);
  report = fixed_report();
  for (Result& r : report.results) r.check = {};
  derive_bounds(report);
  derive_explanations(report);
  for (const Result& r : report.results) EXPECT_FALSE(r.why || r.balance);
}

TEST(Explain, IoIsNamedByType) {
  EXPECT_EQ(io_text(Result{}), "");
  EXPECT_THAT(io_text(explained().results[0]), HasSubstr("paper 200 MB, flash 70.0 MB"));
}

}  // namespace
}  // namespace flashbench::report

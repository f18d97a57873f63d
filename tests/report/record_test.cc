#include "report/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "report/json.h"
#include "report/table.h"
#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

void expect_no_numbers(const Result& r) {
  EXPECT_FALSE(r.timing);
  EXPECT_FALSE(r.tflops);
  EXPECT_FALSE(r.gb_s);
  EXPECT_FALSE(r.pct_peak);
  EXPECT_FALSE(r.bound);
  EXPECT_FALSE(r.peak_rss_bytes);
  EXPECT_FALSE(r.energy_j);
  EXPECT_FALSE(r.speedup_over || r.speedup_ci95 || r.rises);
  EXPECT_FALSE(r.calibration);
  EXPECT_FALSE(r.phases || r.phase_timer_s);
  EXPECT_FALSE(r.balance || r.why);
  EXPECT_FALSE(r.gflop_per_j);
  EXPECT_FALSE(r.stopped_by);
}

Result full_result() {
  Result r = fixed_result("flash", 0.25);
  r.speedup_over = {{"normal", 3.0}};
  r.speedup_ci95 = {{"normal", {2.9, 3.1}}};
  r.rises = true;
  r.phases = {{"scores", 0.1, 12, 4096}};
  r.phase_timer_s = 5e-8;
  r.balance = 12.0;
  r.why = "because";
  r.energy_j = 3.0;
  EXPECT_FALSE(r.calibration);
  r.gflop_per_j = 4.0;
  return r;
}

TEST(Published, AVerifiedResultKeepsItsNumbers) {
  const Result r = published(full_result());
  ASSERT_TRUE(r.timing);
  EXPECT_EQ(r.timing->times.size(), 11u);
  EXPECT_TRUE(r.tflops && r.pct_peak && r.speedup_over && r.phases && r.energy_j);
}

TEST(Published, AWrongResultHasNoNumbers) {
  Result r = full_result();
  r.check.verdict = "fail";
  expect_no_numbers(published(r));
  EXPECT_EQ(published(r).check.worst.size(), 2u) << "the verdict itself stays";
}

TEST(Published, AnUnverifiedResultHasNoNumbers) {
  Result r = full_result();
  r.check = {};
  expect_no_numbers(published(r));
}

TEST(Published, AFailedOrSkippedResultHasNoNumbersEvenWithAPassedCheck) {
  for (const Status s : {Status::kFailed, Status::kSkipped}) {
    Result r = full_result();
    r.status = s;
    expect_no_numbers(published(r));
  }
}

TEST(Published, AnInterruptedResultKeepsWhatWasVerified) {
  Result r = full_result();
  r.status = Status::kInterrupted;
  EXPECT_TRUE(published(r).timing);
}

TEST(CheckOf, TakesTheVerdictOver) {
  Verdict v;
  v.level = VerifyLevel::kSample;
  TensorVerdict t;
  t.tensor = "dq";
  t.error_over_noise = std::numeric_limits<double>::quiet_NaN();
  t.index = {0, 1, 2, 3};
  v.tensors = {t};
  const Check check = check_of(v);
  EXPECT_EQ(check.verdict, "fail");
  EXPECT_EQ(check.level, "sample");
  ASSERT_EQ(check.worst.size(), 1u);
  EXPECT_FALSE(check.worst[0].error_over_noise);
  EXPECT_THAT(check.worst[0].index, ::testing::ElementsAre(0, 1, 2, 3));
}

TEST(CheckOf, KeepsInfinitiesApartFromWhatWasNotComputed) {
  const double inf = std::numeric_limits<double>::infinity();
  TensorVerdict t;
  t.got = inf;
  t.want = -inf;  // LSE of a row that sees nothing
  EXPECT_EQ(worst_of(t).got, inf);
  EXPECT_EQ(worst_of(t).expected, -inf);
  t.got = t.want = std::numeric_limits<double>::quiet_NaN();  // it only had to be finite
  EXPECT_TRUE(std::isnan(worst_of(t).got.value()));
  EXPECT_FALSE(worst_of(t).expected);
  Report report = fixed_report();
  report.results[0].check.worst[0].got = inf;
  EXPECT_NE(to_json_text(report).find("\"got\": null"), std::string::npos) << "JSON has none";
}

TEST(CheckOf, NothingCheckedIsNoPass) { EXPECT_EQ(check_of(Verdict{}).verdict, "not verified"); }

TEST(WorkloadOf, ResolvesWhatWasLeftOut) {
  Problem p;
  p.shape.d = 64;
  const Workload w = workload_of(p);
  EXPECT_DOUBLE_EQ(w.scale, 0.125);
  EXPECT_EQ(w.mask, "none");
  EXPECT_FALSE(w.mask_keep) << "there is no random mask to keep anything";
  EXPECT_EQ(w.input, "random");
}

TEST(WorkloadOf, InputsThatDifferReadDifferently) {
  Problem p;
  p.pass = Pass::kBackward;
  p.d_o = GradSource::kRandom;
  EXPECT_EQ(workload_of(p).input, "random; do=random");
  p.files.bundle = "qkv.safetensors";
  p.d_o = GradSource::kFile;
  p.files.layout = Layout::kBshd;
  EXPECT_EQ(workload_of(p).input, "qkv.safetensors; layout=bshd; do=file");
  p.files.bundle.clear();
  p.files.q = "q.npy";
  p.files.k = "k.npy";
  p.files.v = "v.npy";
  p.files.d_o = "g.npy";
  EXPECT_EQ(workload_of(p).input, "q.npy, k.npy, v.npy; layout=bshd; do=g.npy");
}

// compare took two tensors of one file for one problem.
TEST(WorkloadOf, OtherTensorsOfAFileAreOtherInputs) {
  Problem p;
  p.pass = Pass::kBackward;
  p.files.bundle = "qkv.safetensors";
  p.padding = PaddingMask::kFile;
  p.d_o = GradSource::kFile;
  std::set<std::string> keys = {workload_key(workload_of(p))};
  for (std::string InputFiles::*tensor :
       {&InputFiles::q_name, &InputFiles::k_name, &InputFiles::v_name, &InputFiles::do_name,
        &InputFiles::mask_name}) {
    Problem other = p;
    other.files.*tensor = "of_layer_7";
    EXPECT_TRUE(keys.insert(workload_key(workload_of(other))).second) << keys.size();
  }
  p.files.bundle.clear();
  p.files.d_o = "g.npy";
  p.padding = PaddingMask::kNone;
  p.files.layout = Layout::kBshd;
  EXPECT_EQ(workload_of(p).input, "random; layout=bshd; do=g.npy");
}

TEST(CaseKey, EveryPartOfACaseTellsItApart) {
  const Result base = fixed_result("flash", 1);
  const std::vector<void (*)(Result&)> changes = {
      [](Result& r) { r.workload.b = 7; },
      [](Result& r) { r.workload.h_kv = 1; },
      [](Result& r) { r.workload.dtype = "f16"; },
      [](Result& r) { r.workload.causal = true; },
      [](Result& r) { r.workload.mask = "random"; },
      [](Result& r) { r.workload.mask_keep = 0.25; },
      [](Result& r) { r.workload.scale = 0.1; },
      [](Result& r) { r.workload.seed = 1; },
      [](Result& r) { r.workload.input = "x.npy"; },
      [](Result& r) { r.pass = "backward"; },
      [](Result& r) { r.type = "paper"; },
      [](Result& r) { r.backend = "cuda"; },
      [](Result& r) { r.kernel_request = "cpu_flash"; },
      [](Result& r) { r.isa = "sse4"; },
      [](Result& r) { r.threads = 1; },
      [](Result& r) { r.device = "GPU"; },
      [](Result& r) { r.cache = "cold"; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Result other = base;
    changes[i](other);
    EXPECT_NE(case_key(other), case_key(base)) << "change " << i;
  }
  Result measured_again = fixed_result("flash", 2);
  measured_again.warnings = {"noisy"};
  EXPECT_EQ(case_key(measured_again), case_key(base));
}

TEST(Derive, RatesFollowFromTheMedian) {
  const Result r = fixed_result("flash", 0.25);
  EXPECT_NEAR(r.tflops.value(), 4.0 * 2 * 4096 * 4096 * 512 / 0.25 * 1e-12, 1e-12);
  EXPECT_NEAR(r.gb_s.value(), 67141632 / 0.25 * 1e-9, 1e-12);
}

TEST(Derive, SpeedupComparesEqualWorkloadsOnly) {
  std::vector<Result> results = {fixed_result("flash", 0.2), fixed_result("normal", 0.6),
                                 fixed_result("flash", 0.1)};
  results[2].workload.causal = true;
  derive_speedups(results);
  EXPECT_NEAR(results[0].speedup_over.value().at("normal"), 3.0, 1e-12);
  EXPECT_FALSE(results[1].speedup_over) << "normal is no faster than itself";
  EXPECT_FALSE(results[2].speedup_over) << "nothing causal to compare with";
}

// flash and paper stood in one table without a word of how they compare.
TEST(Derive, FlashIsComparedWithPaper) {
  std::vector<Result> results = {fixed_result("flash", 0.2), fixed_result("paper", 2.0)};
  derive_speedups(results);
  EXPECT_NEAR(results[0].speedup_over.value().at("paper"), 10.0, 1e-12);
  EXPECT_FALSE(results[1].speedup_over) << "once is enough";
}

TEST(Derive, AWrongNormalGivesNoSpeedup) {
  std::vector<Result> results = {fixed_result("flash", 0.2), fixed_result("normal", 0.6)};
  results[1].check.verdict = "fail";
  derive_speedups(results);
  EXPECT_FALSE(results[0].speedup_over);
}

TEST(Derive, ForcedKernelsAreStillComparedByType) {
  std::vector<Result> results = {fixed_result("flash", 0.2), fixed_result("normal", 0.6)};
  results[0].kernel_request = "cpu_flash";
  derive_speedups(results);
  EXPECT_TRUE(results[0].speedup_over);
}

TEST(Derive, TheLargerTermBounds) {
  EXPECT_DOUBLE_EQ(ideal_s(100, 10, 10, 10), 10);
  EXPECT_DOUBLE_EQ(ideal_s(10, 200, 10, 10), 20);
}

TEST(Derive, SummaryTakesTheNoisiestVerifiedResult) {
  std::vector<Result> results = {fixed_result("flash", 0.2), fixed_result("normal", 0.6)};
  results[0].timing->ci95 = {0.19, 0.21};
  EXPECT_NEAR(summarize(results).noise.value(), 0.05, 1e-12);
  results[0].check.verdict = "fail";
  EXPECT_LT(summarize(results).noise.value(), 0.01);
  EXPECT_FALSE(summarize(results).crossover) << "no length was swept";
  EXPECT_FALSE(summarize(std::vector<Result>{}).noise);
}

TEST(Derive, CrossoverLiesBetweenTheLengthsThatDisagree) {
  std::vector<Result> results;
  const double ratios[] = {0.5, 0.8, 1.25, 2.0};  // normal over flash at 64, 128, 256, 512
  for (int i = 0; i < 4; ++i) {
    for (const std::string type : {"flash", "normal"}) {
      Result r = fixed_result(type, type == "flash" ? 1.0 : ratios[i]);
      r.workload.q_len = r.workload.kv_len = std::int64_t{64} << i;
      results.push_back(r);
    }
  }
  derive_speedups(results);
  const Summary s = summarize(results);
  ASSERT_TRUE(s.crossover);
  ASSERT_EQ(s.crossover->size(), 1u);
  const Crossover& c = s.crossover->front();
  EXPECT_EQ(c.parameter, "q_len");
  EXPECT_NEAR(c.at, 128 * std::sqrt(2.0), 1e-9) << "0.8 and 1.25 are equally far from 1";
  EXPECT_EQ(c.below, "normal");
  EXPECT_EQ(c.above, "flash");
  EXPECT_THAT(c.between, ::testing::ElementsAre(128, 256));
}

/// flash and normal at 64, 128, ..., where normal takes `ratios` times as long.
std::vector<Result> swept(std::span<const double> ratios) {
  std::vector<Result> results;
  for (std::size_t i = 0; i < ratios.size(); ++i)
    for (const std::string type : {"flash", "normal"}) {
      Result r = fixed_result(type, type == "flash" ? 1.0 : ratios[i]);
      r.workload.q_len = r.workload.kv_len = std::int64_t{64} << i;
      results.push_back(r);
    }
  return results;
}

TEST(Derive, WhatIsFasterAtEveryLengthIsNamedSeriesBySeries) {
  std::vector<Result> results = swept(std::vector{1.25, 1.1, 2.0});
  for (Result r : swept(std::vector{0.8, 0.5})) {
    r.workload.dtype = "bf16";
    results.push_back(r);
  }
  for (Result r : swept(std::vector{1.5})) {
    r.workload.d = 32;  // one length is no sweep
    results.push_back(r);
  }
  derive_speedups(results);
  const Summary s = summarize(results);
  EXPECT_TRUE(s.crossover && s.crossover->empty());
  ASSERT_EQ(s.lead.size(), 2u);
  EXPECT_EQ(s.lead[0].faster, "flash");
  EXPECT_EQ(s.lead[0].from, 64);
  EXPECT_EQ(s.lead[0].to, 256);
  EXPECT_NEAR(s.lead[0].ratio[0], 1.1, 1e-9);
  EXPECT_NEAR(s.lead[0].ratio[1], 2.0, 1e-9);
  EXPECT_EQ(s.lead[0].series, "forward, f32, b1 h2 d512, avx2, 2 threads");
  EXPECT_EQ(s.lead[1].faster, "normal");
  EXPECT_NEAR(s.lead[1].ratio[0], 1.25, 1e-9);
  EXPECT_NEAR(s.lead[1].ratio[1], 2.0, 1e-9);
  EXPECT_LT(s.lead[0].interval[0], 1.1);
  EXPECT_GT(s.lead[0].interval[1], 2.0);
  Report report = fixed_report();
  report.results = results;
  report.summary = s;
  EXPECT_NE(explained_table_text(report).find(
                "flash is faster than normal at every length measured, q_len 64 to 256: 1.10x "
                "to 2.00x, all within [1.08, 2.04] (forward, f32, b1 h2 d512, avx2, 2 "
                "threads)"),
            std::string::npos)
      << explained_table_text(report);
}

TEST(Derive, CrossoverOfDecodeIsInTheKeys) {
  std::vector<Result> results;
  for (const std::int64_t kv_len : {128, 512}) {
    for (const std::string type : {"flash", "normal"}) {
      Result r = fixed_result(type, type == "flash" ? 1.0 : kv_len == 128 ? 0.5 : 2.0);
      r.workload.q_len = 1;
      r.workload.kv_len = kv_len;
      results.push_back(r);
    }
  }
  derive_speedups(results);
  const Summary s = summarize(results);
  ASSERT_TRUE(s.crossover);
  ASSERT_EQ(s.crossover->size(), 1u);
  EXPECT_EQ(s.crossover->front().parameter, "kv_len");
  EXPECT_NEAR(s.crossover->front().at, 256, 1e-9);
}

TEST(Derive, MemoryLimitLiesBetweenWhatFitsAndWhatDoesNot) {
  std::vector<Result> results;
  for (const std::int64_t length : {64, 128, 256, 512}) {
    Result r = fixed_result("normal", 1.0);
    r.workload.q_len = r.workload.kv_len = length;
    if (length > 128) {
      r.status = Status::kSkipped;
      r.refusal = Rejection::Kind::kMemory;
      r.reason =
          length == 256 ? "needs 2.00 GB, 1.00 GB available" : "needs 8.00 GB, 1.00 GB available";
    }
    results.push_back(r);
  }
  Result other = fixed_result("normal", 1.0);
  other.workload.d = 32;
  other.status = Status::kSkipped;
  other.refusal = Rejection::Kind::kAbsent;
  other.reason = "needs an ISA level that is not here";
  results.push_back(other);
  const Summary s = summarize(results);
  ASSERT_EQ(s.memory_limit.size(), 1u) << "another reason is no limit of memory";
  EXPECT_EQ(s.memory_limit[0].fits, 128);
  EXPECT_EQ(s.memory_limit[0].exceeds, 256);
  EXPECT_EQ(s.memory_limit[0].type, "normal");
  EXPECT_EQ(s.memory_limit[0].reason, "needs 2.00 GB, 1.00 GB available");
}

}  // namespace
}  // namespace flashbench::report

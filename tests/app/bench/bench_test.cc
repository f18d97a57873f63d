// bench, from its words to its report, on a backend, kernels and a clock that do as they are told.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/app/run.h"

namespace flashbench::app {
namespace {

using report::Status;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Bench : public RunOnFakes {};

TEST_F(Bench, MeasuresWhatTheClockSaysAndVerifiesIt) {
  EXPECT_EQ(bench({}), ExitCode::kOk);
  const report::Result r = result();
  EXPECT_EQ(r.status, Status::kOk);
  EXPECT_EQ(r.check.verdict, "pass");
  EXPECT_EQ(r.backend, "slate");
  EXPECT_EQ(r.kernel, "slate_flash");
  EXPECT_EQ(r.device, "0");
  EXPECT_FALSE(r.threads);
  EXPECT_NEAR(r.timing.value().median, 0.010, 1e-9);
  EXPECT_EQ(r.stopped_by, measure::StoppedBy::kNoise);
  EXPECT_NEAR(r.pct_peak.value(), 100 * r.flop_visible / 1e9 / 0.010, 1e-9);
  EXPECT_EQ(r.bound, "compute");
}

TEST_F(Bench, AWrongResultHasNoNumber) {
  script.wrong = {"slate_flash"};
  EXPECT_EQ(bench({}), ExitCode::kFailed);
  const report::Result r = result();
  EXPECT_EQ(r.status, Status::kFailed);
  EXPECT_EQ(r.check.verdict, "fail");
  EXPECT_FALSE(r.timing);
  EXPECT_FALSE(r.tflops);
  EXPECT_THAT(r.reason.value(), StartsWith("wrong result: "));
  EXPECT_THAT(r.reason.value(), HasSubstr("reproduce: flashbench check"));
}

TEST_F(Bench, UnverifiedNumbersAreWithheldToo) {
  EXPECT_EQ(bench({"--verify", "none"}), ExitCode::kOk);
  EXPECT_FALSE(result().timing);
}

// The number that was verified before was thrown away, as "interrupted before it was verified".
TEST_F(Bench, AnInterruptedProfileLeavesTheVerifiedNumber) {
  script.stops_profiles = true;
  EXPECT_EQ(bench({"--profile"}), ExitCode::kOk);  // no signal came: the program's code is 0
  EXPECT_EQ(result().status, Status::kOk);
  EXPECT_TRUE(result().timing);
  EXPECT_FALSE(result().phases);
  EXPECT_EQ(warning("no phases"), "no phases: interrupted while they were timed");
}

TEST_F(Bench, ALaunchThatFailsLeavesTheOtherCases) {
  script.fails_at_d = 8;
  EXPECT_EQ(bench({"--d", "4,8,16"}), ExitCode::kFailed);
  const report::Report r = report();
  EXPECT_EQ(r.results.at(0).status, Status::kOk);
  EXPECT_EQ(r.results.at(1).status, Status::kFailed);
  EXPECT_EQ(r.results.at(1).reason, "the launch was refused");
  EXPECT_EQ(r.results.at(2).status, Status::kOk);
}

TEST_F(Bench, AFaultThatEndsTheDeviceSkipsTheCasesAfterIt) {
  script.ends_at_d = 8;
  EXPECT_EQ(bench({"--d", "4,8,16"}), ExitCode::kFailed);
  const report::Report r = report();
  EXPECT_TRUE(r.results.at(0).timing) << "what was measured before it stays";
  EXPECT_EQ(r.results.at(1).status, Status::kFailed);
  EXPECT_EQ(r.results.at(2).status, Status::kSkipped);
  EXPECT_THAT(r.results.at(2).reason.value(), HasSubstr("burnt down"));
}

TEST_F(Bench, AnAbsentBackendIsExitThreeWithItsReason) {
  script.absent = "no slate was found";
  EXPECT_EQ(bench({"--backend", "slate"}), ExitCode::kUnavailable);
  EXPECT_EQ(result().status, Status::kSkipped);
  EXPECT_EQ(result().reason, "--backend slate is not available: no slate was found");
  EXPECT_TRUE(script.launches.empty());
}

// A report said that the processor had refused what was asked of a device.
TEST_F(Bench, ARefusalIsOfTheBackendThatWasAsked) {
  EXPECT_EQ(bench({"--device", "0", "--dtype", "bf16"}), ExitCode::kUnavailable);
  EXPECT_EQ(result().status, Status::kSkipped);
  EXPECT_EQ(result().backend, "slate");
  EXPECT_EQ(result().device, "0");
}

TEST_F(Bench, FlagsOfTheProcessorAreRefusedByName) {
  EXPECT_EQ(bench({"--threads", "3"}), ExitCode::kUnavailable);
  EXPECT_THAT(result().reason.value(), HasSubstr("--threads 3 is of the processor"));
}

// Drift hits both types alike only when they take turns, each first as often as the other.
TEST_F(Bench, TypesTakeTurnsAndTheFirstOneChanges) {
  EXPECT_EQ(bench({"--type", "flash,normal", "--min_samples", "20"}), ExitCode::kOk);
  const report::Report r = report();
  EXPECT_EQ(r.results.at(0).timing.value().times.size(), 20u);
  EXPECT_EQ(r.results.at(1).timing.value().times.size(), 20u);
  // A sample is a call that warms the caches and the timed one; of the tail, whole rounds remain.
  std::vector<std::string> turns;
  for (const std::string& kernel : script.launches)
    if (turns.empty() || turns.back() != kernel) turns.push_back(kernel);
  EXPECT_GE(turns.size(), 20u) << "rounds, not one type after the other";
  const auto flash = std::count(script.launches.begin(), script.launches.end(), "slate_flash");
  const auto normal = std::count(script.launches.begin(), script.launches.end(), "slate_normal");
  EXPECT_LE(std::abs(flash - normal), 2);
}

TEST_F(Bench, ATimeoutEndsSamplingWithWhatThereIs) {
  script.call_s = 0.4;
  const double began_s = script.clock.now_s();
  EXPECT_EQ(bench({"--timeout", "4s", "--min_time", "1h"}), ExitCode::kOk);
  EXPECT_LT(script.clock.now_s() - began_s, 4 + 4 * script.call_s);
  EXPECT_GE(result().timing.value().times.size(), 3u);
}

TEST_F(Bench, ABudgetIsSharedByAllCases) {
  const double began_s = script.clock.now_s();
  EXPECT_EQ(bench({"--d", "1,2,3,4", "--budget", "8s", "--min_time", "1h"}), ExitCode::kOk);
  const double took_s = script.clock.now_s() - began_s;
  EXPECT_GT(took_s, 4);
  EXPECT_LT(took_s, 9);
  for (const report::Result& r : report().results) EXPECT_TRUE(r.timing) << r.workload.d;
}

// `--budget 60s` took 239 s, and the last ten cases said "0 s left".
TEST_F(Bench, ABudgetThatCannotBeKeptIsRefusedAtTheStartWithWhatItTakes) {
  script.call_s = 1;
  const double began_s = script.clock.now_s();
  try {
    bench({"--seed", "1,2,3", "--budget", "8s"});
    FAIL() << "it was not refused";
  } catch (const UnavailableError& e) {
    EXPECT_THAT(e.what(), StartsWith("--budget 8.000 s: peaks and a look at the cases took "));
    EXPECT_THAT(e.what(), HasSubstr("the 3 cases take about 15."));
    EXPECT_THAT(e.what(), HasSubstr("use --budget 20s or more"));
  }
  EXPECT_LT(script.clock.now_s() - began_s, 4) << "nothing was measured";
  EXPECT_EQ(bench({"--seed", "1,2,3", "--budget", "20s"}), ExitCode::kOk);
  for (const report::Result& r : report().results) EXPECT_TRUE(r.timing);
}

// What nobody could foretell costs the cases that no longer fit, not the budget.
TEST_F(Bench, ABudgetIsKeptWhereCasesTakeLongerThanForetold) {
  script.slow_after = 30;  // in the samples of the first case
  const double began_s = script.clock.now_s();
  EXPECT_EQ(bench({"--q_len", "4,6,8,10", "--budget", "60s"}), ExitCode::kOk);
  EXPECT_LT(script.clock.now_s() - began_s, 66);
  const report::Report r = report();
  EXPECT_TRUE(r.results.at(0).timing);
  EXPECT_EQ(r.results.at(3).status, Status::kSkipped);
  EXPECT_THAT(r.results.at(3).reason.value(), StartsWith("--budget 60.00 s: takes about "));
  EXPECT_FALSE(r.results.at(3).refusal) << "nobody refused it";
}

TEST_F(Bench, CasesThatAreComparedNeedTheMemoryOfTheDeviceTogether) {
  script.free_bytes = 6000;  // 4000 for each
  EXPECT_EQ(bench({"--type", "flash,normal"}), ExitCode::kOk);
  const report::Report r = report();
  EXPECT_EQ(r.results.at(0).status, Status::kOk);
  EXPECT_EQ(r.results.at(1).status, Status::kSkipped);
  EXPECT_EQ(r.results.at(1).refusal, Rejection::Kind::kMemory);
  EXPECT_THAT(r.results.at(1).reason.value(),
              HasSubstr("on device 0 beside the cases that it is compared with"));
}

TEST_F(Bench, MemoryOfThisMachineIsPredictedBeforeItIsTaken) {
  script.host_bytes = std::size_t{1} << 60;
  EXPECT_EQ(bench({}), ExitCode::kUnavailable);
  EXPECT_THAT(result().reason.value(), StartsWith("needs "));
  EXPECT_EQ(result().refusal, Rejection::Kind::kMemory);
  EXPECT_TRUE(script.launches.empty());
}

TEST_F(Bench, PeaksThatCannotBeReadCostTheShareAlone) {
  script.peaks_fail = "the probe broke";
  EXPECT_EQ(bench({}), ExitCode::kOk);
  EXPECT_TRUE(result().timing);
  EXPECT_FALSE(result().pct_peak);
  EXPECT_EQ(warning("no share of the peak"), "no share of the peak: the probe broke");
  EXPECT_TRUE(report().peaks.empty());
}

// The buffer that bandwidth is read from is no part of what a case needs.
TEST_F(Bench, ABandwidthReadBeforeTheCasesStandsWhereThereIsNoRoomBesideThem) {
  script.bandwidths_that_fit = 1;
  EXPECT_EQ(bench({}), ExitCode::kOk);
  EXPECT_NEAR(result().pct_peak.value(), 100 * result().flop_visible / 1e9 / 0.010, 1e-9);
  EXPECT_EQ(warning("no share of the peak"), "");
}

TEST_F(Bench, WithoutRoomForAnyBandwidthTheShareIsMissingWithItsReason) {
  script.bandwidths_that_fit = 0;
  EXPECT_EQ(bench({}), ExitCode::kOk);
  EXPECT_TRUE(result().timing);
  EXPECT_FALSE(result().pct_peak);
  EXPECT_THAT(warning("no share of the peak"),
              HasSubstr("too little memory for the buffer that bandwidth is read from"));
}

TEST_F(Bench, PeaksAreNamedByTheirBackend) {
  EXPECT_EQ(bench({}), ExitCode::kOk);
  const std::vector<report::Peak> peaks = report().peaks;
  ASSERT_EQ(peaks.size(), 2u) << "a rate of f32 and a bandwidth, however often they were read";
  EXPECT_EQ(peaks[0].backend, "slate");
  EXPECT_EQ(peaks[0].isa, "chalk");
  EXPECT_EQ(peaks[0].threads, 7);
  EXPECT_EQ(peaks[0].device, "0");
  EXPECT_EQ(peaks[0].gflops, 1.0);
  EXPECT_EQ(peaks[1].read_gb_s, 1.0);
}

TEST_F(Bench, AColdCacheIsFlushedBeforeEverySingleCall) {
  script.call_s = 1e-5;  // warm, a hundred would be one sample
  EXPECT_EQ(bench({"--cache", "cold", "--min_time", "1ms"}), ExitCode::kOk);
  EXPECT_EQ(result().timing.value().iterations_per_sample, 1);
  EXPECT_GE(script.flushes, static_cast<int>(result().timing.value().times.size()));
  EXPECT_EQ(std::set(script.inputs.begin(), script.inputs.end()).size(), 1u);
}

TEST_F(Bench, WithoutAFlushColdCallsRotateTheirOperands) {
  script.traits.flushes_caches = false;
  EXPECT_EQ(bench({"--cache", "cold", "--q_len", "64", "--d", "256"}), ExitCode::kOk);
  EXPECT_EQ(script.flushes, 0);
  EXPECT_GT(std::set(script.inputs.begin(), script.inputs.end()).size(), 1u);
}

TEST_F(Bench, EnergyIsThatOfACall) {
  script.power_w = 100;
  EXPECT_EQ(bench({}), ExitCode::kOk);
  EXPECT_NEAR(result().energy_j.value(), 100 * script.call_s, 1e-9);
  EXPECT_GT(script.waits, 0) << "the queue is kept short";
}

TEST_F(Bench, ColdCallsHaveNoEnergySinceTheirFlushesWouldCount) {
  script.power_w = 100;
  EXPECT_EQ(bench({"--cache", "cold"}), ExitCode::kOk);
  EXPECT_FALSE(result().energy_j);
}

TEST_F(Bench, ADeviceThatIsHeldDownIsAWarning) {
  script.throttled = {"power limit"};
  EXPECT_EQ(bench({}), ExitCode::kOk);
  EXPECT_THAT(warning("throttled: "), HasSubstr("power limit"));
}

TEST_F(Bench, AnEmulatorHasNoSpeed) {
  script.traits = {.has_speed = false};
  EXPECT_EQ(bench({}), ExitCode::kUnavailable);
  EXPECT_THAT(result().reason.value(), StartsWith("an emulator has no speed"));
  EXPECT_TRUE(script.launches.empty());
}

TEST_F(Bench, ADryRunLaunchesNothing) {
  EXPECT_EQ(bench({"--dry_run"}), ExitCode::kOk);
  EXPECT_THAT(out, HasSubstr("slate 0"));
  EXPECT_TRUE(script.launches.empty());
}

}  // namespace
}  // namespace flashbench::app

#include "measure/warnings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "measure/fake_clock.h"

namespace flashbench::measure {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Samples quiet() {
  Samples s;
  for (int i = 0; i < 20; ++i) s.times_s.push_back(0.100 + 0.0001 * (i % 3));
  s.first_run_s = 0.12;
  s.stopped_by = StoppedBy::kNoise;
  return s;
}

Conditions calm() {
  Conditions c;
  c.threads = 2;
  c.usable_cpus = 2;
  c.before = {.wall_s = 10,
              .cpus = 2,
              .own_cpu_s = 1,
              .busy_s = 100.0,
              .steal_s = 5.0,
              .clock_hz = 3e9,
              .max_clock_hz = 3.2e9,
              .throttles = 7};
  c.after = {.wall_s = 14,
             .cpus = 2,
             .own_cpu_s = 9,
             .busy_s = 108.1,
             .steal_s = 5.0,
             .clock_hz = 3e9,
             .max_clock_hz = 3.2e9,
             .throttles = 7};
  return c;
}

TEST(Warnings, AQuietRunHasNone) { EXPECT_THAT(warnings(quiet(), Limits{}, calm()), IsEmpty()); }

TEST(Warnings, SayHowManySamplesOthersDisturbed) {
  Samples s = quiet();
  s.lost.assign(s.times_s.size(), 0.0);
  s.lost[3] = s.lost[4] = 0.6;
  s.times_s[3] = s.times_s[4] = 0.4;
  EXPECT_THAT(
      warnings(s, Limits{}, calm()),
      ElementsAre(AllOf(HasSubstr("disturbed: in 2 of 20 samples"), HasSubstr("left out"))));
  s.lost.assign(s.times_s.size(), 0.6);
  EXPECT_THAT(warnings(s, Limits{}, calm()),
              ElementsAre(AllOf(HasSubstr("disturbed: in 20 of 20 samples"),
                                HasSubstr("too few are left"), HasSubstr("--threads 1"))));
  Conditions crowded = calm();
  crowded.threads = 4;
  EXPECT_THAT(
      warnings(s, Limits{}, crowded),
      ::testing::Contains(AllOf(HasSubstr("by our own threads"), HasSubstr("--threads 2"))));
}

TEST(Warnings, NoiseNamesItsRemedy) {
  Samples s = quiet();
  s.stopped_by = StoppedBy::kTimeout;
  for (std::size_t i = 0; i < s.times_s.size(); ++i) s.times_s[i] = 0.1 + 0.003 * double(i);
  EXPECT_THAT(warnings(s, Limits{}, calm()),
              ElementsAre(HasSubstr("stop other programs, or raise --timeout")));
}

TEST(Warnings, NoiseThatStaysDoesNotAskForTime) {
  Samples s = quiet();
  s.stopped_by = StoppedBy::kNoiseStays;
  for (std::size_t i = 0; i < s.times_s.size(); ++i) s.times_s[i] = i % 2 == 0 ? 0.1 : 0.11;
  EXPECT_THAT(warnings(s, Limits{}, calm()),
              ElementsAre(AllOf(HasSubstr("have stopped narrowing"), HasSubstr("raise --max_noise"),
                                Not(HasSubstr("raise --timeout")))));
}

TEST(Warnings, NoiseOutOfReachSaysHowFarItIs) {
  Samples s = quiet();
  s.stopped_by = StoppedBy::kOutOfReach;
  for (std::size_t i = 0; i < s.times_s.size(); ++i) s.times_s[i] = 0.1 + 0.003 * double(i);
  EXPECT_THAT(warnings(s, Limits{}, calm()),
              ElementsAre(AllOf(HasSubstr("times as many"), HasSubstr("before --timeout"),
                                HasSubstr("raise --max_noise or --timeout"))));
}

TEST(Warnings, TooFewSamplesAskForTime) {
  Samples s = quiet();
  s.stopped_by = StoppedBy::kTimeout;
  s.times_s = {1.0, 1.1, 1.2};
  EXPECT_THAT(warnings(s, Limits{}, calm()), ElementsAre(HasSubstr("raise --timeout so that")));
  s.times_s = {1.0};
  EXPECT_THAT(warnings(s, Limits{}, calm()), ElementsAre(HasSubstr("one sample")));
}

TEST(Warnings, UnconvergedButQuietSamplesAreNoNoise) {
  Samples s = quiet();
  s.stopped_by = StoppedBy::kTimeout;  // the time was over before min_time, say
  EXPECT_THAT(warnings(s, Limits{}, calm()), IsEmpty());
}

TEST(Warnings, OutliersAreNamedAndKept) {
  Samples s = quiet();
  s.times_s[4] = 0.31;
  EXPECT_THAT(warnings(s, Limits{}, calm()),
              ElementsAre(AllOf(
                  HasSubstr("outliers: 1 of 20 samples (number 5; the slowest 3.1x the median)"),
                  HasSubstr("stop other programs"))));
}

TEST(Warnings, OutliersAtTheStartHaveTheirOwnRemedy) {
  Samples s = quiet();
  s.times_s[0] = s.times_s[1] = 0.2;
  EXPECT_THAT(warnings(s, Limits{}, calm()), ElementsAre(HasSubstr("slow at the start")));
  s.times_s[0] = s.times_s[1] = 0.05;
  EXPECT_THAT(warnings(s, Limits{}, calm()), ElementsAre(HasSubstr("fix the clocks")));
}

TEST(Warnings, TinySpreadMakesNoOutliers) {
  Samples s = quiet();
  s.times_s.assign(20, 0.1);
  s.times_s[3] = 0.1001;  // MAD is 0: any difference would be infinitely many deviations
  EXPECT_THAT(warnings(s, Limits{}, calm()), IsEmpty());
}

TEST(Warnings, SlowFirstRun) {
  Samples s = quiet();
  s.first_run_s = 1.0;
  EXPECT_THAT(warnings(s, Limits{}, calm()), ElementsAre(HasSubstr("slow first run: 1 s, 10.0x")));
}

TEST(Warnings, MoreThreadsThanCores) {
  Conditions c = calm();
  c.threads = 8;
  EXPECT_THAT(warnings(quiet(), Limits{}, c), ElementsAre(HasSubstr("use --threads 2")));
}

TEST(Warnings, OthersLoadIsWhatIsNotOurs) {
  Conditions c = calm();
  c.after.busy_s = 100 + 8 + 2;  // 2 s of 4 s on 2 processors
  EXPECT_THAT(warnings(quiet(), Limits{}, c),
              ElementsAre(HasSubstr("load from others: 25 % of the 2 processors")));
}

// A remedy that is in use already is none, and one thread waits for nobody.
TEST(Warnings, LoadNamesWhatHelpsATeamThatWaits) {
  Conditions c = calm();
  c.after.busy_s = 100 + 8 + 2;
  const auto line = [&] { return warnings(quiet(), Limits{}, c).at(0); };
  EXPECT_THAT(line(), AllOf(HasSubstr("--threads 1"), HasSubstr("OMP_WAIT_POLICY=passive")));
  c.waiting = Waiting::kSleeps;
  EXPECT_THAT(line(), AllOf(HasSubstr("--threads 1"), Not(HasSubstr("OMP_WAIT_POLICY"))));
  c.threads = 1;
  EXPECT_THAT(line(), AllOf(HasSubstr("taskset"), Not(HasSubstr("--threads 1"))));
}

TEST(Warnings, StolenTime) {
  Conditions c = calm();
  c.after.steal_s = 5.4;
  EXPECT_THAT(warnings(quiet(), Limits{}, c), ElementsAre(HasSubstr("hypervisor took 5 %")));
}

TEST(Warnings, ThermalEventsAndFallingClocks) {
  Conditions c = calm();
  c.after.throttles = 9;
  EXPECT_THAT(warnings(quiet(), Limits{}, c), ElementsAre(HasSubstr("2 thermal events")));
  c = calm();
  c.after.clock_hz = 2.5e9;
  EXPECT_THAT(warnings(quiet(), Limits{}, c),
              ElementsAre(HasSubstr("clocks at 2.50 GHz fell from 3.00 GHz")));
  c = calm();
  c.before.clock_hz = c.after.clock_hz = 2.0e9;
  EXPECT_THAT(warnings(quiet(), Limits{}, c), ElementsAre(HasSubstr("2.00 GHz of 3.20 GHz")));
}

TEST(Warnings, IdleProcessorsMayClockDown) {
  Conditions c = calm();
  c.threads = 1;
  c.before.clock_hz = c.after.clock_hz = 2.0e9;
  EXPECT_THAT(warnings(quiet(), Limits{}, c), IsEmpty());
}

DeviceReading reading(double sm_clock_hz, std::vector<std::string> reasons = {}) {
  DeviceReading r;
  r.sm_clock_hz = sm_clock_hz;
  r.throttle_reasons = std::move(reasons);
  return r;
}

TEST(Warnings, AThrottledGpuIsNamedWithItsReason) {
  Conditions c = calm();
  c.device = {reading(1.98e9), reading(1.41e9, {"power limit"}), reading(1.5e9, {"power limit"})};
  EXPECT_THAT(warnings(quiet(), Limits{}, c),
              ElementsAre(AllOf(HasSubstr("the GPU's power limit held its clocks down in 2 of 3 "
                                          "readings, SM clock 1.41 to 1.98 GHz"),
                                HasSubstr("nvidia-smi -lgc"))));
  c.device = {reading(1.98e9), reading(1.9e9, {"temperature"})};
  EXPECT_THAT(warnings(quiet(), Limits{}, c), ElementsAre(HasSubstr("let it cool")));
}

TEST(Warnings, ALimitThatAGpuHardlyFeltIsNoNews) {
  Conditions c = calm();
  c.device = {reading(1.97e9, {"power limit"}), reading(1.98e9, {"power limit"})};
  EXPECT_THAT(warnings(quiet(), Limits{}, c), IsEmpty());
  for (DeviceReading& r : c.device) r.max_sm_clock_hz = 2.1e9;
  EXPECT_THAT(warnings(quiet(), Limits{}, c), ElementsAre(HasSubstr("1.97 to 1.98 GHz")));
}

TEST(Warnings, GpuClocksThatFallWithoutAReasonAreNamedToo) {
  Conditions c = calm();
  c.device = {reading(1.98e9), reading(1.7e9)};
  EXPECT_THAT(warnings(quiet(), Limits{}, c),
              ElementsAre(HasSubstr("clocks fell while sampling, SM clock 1.70 to 1.98 GHz")));
}

TEST(Warnings, SteadyOrUnreadableGpuClocksSayNothing) {
  Conditions c = calm();
  c.device = {reading(1.2e9), reading(1.98e9), reading(1.95e9)};  // rising at first is no fall
  EXPECT_THAT(warnings(quiet(), Limits{}, c), IsEmpty());
  c.device = {DeviceReading{}, DeviceReading{}};
  EXPECT_THAT(warnings(quiet(), Limits{}, c), IsEmpty());
}

TEST(Warnings, UnreadableMachineSaysNothing) {
  Conditions c = calm();
  c.before = c.after = Snapshot{};
  c.before.cpus = c.after.cpus = 2;
  c.after.wall_s = 4;
  EXPECT_THAT(warnings(quiet(), Limits{}, c), IsEmpty());
}

TEST(Warnings, EachIsOneLine) {
  Samples s = quiet();
  s.stopped_by = StoppedBy::kTimeout;
  s.first_run_s = 9;
  for (std::size_t i = 0; i < s.times_s.size(); ++i) s.times_s[i] = 0.1 + 0.003 * double(i);
  Conditions c = calm();
  c.threads = 9;
  c.after.busy_s = 130;
  c.after.throttles = 100;
  const auto all = warnings(s, Limits{}, c);
  EXPECT_GE(all.size(), 5u);
  for (const std::string& w : all) EXPECT_THAT(w, Not(HasSubstr("\n")));
}

TEST(Snapshot, CountsOnlyOurProcessors) {
  const fs::path root = fs::path(::testing::TempDir()) / ("snapshot" + std::to_string(getpid()));
  const auto write = [&](const std::string& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  };
  write("proc/stat",
        "cpu  9 9 9 9 9 9 9 9 9 9\n"
        "cpu0 100 10 50 9000 5 3 2 7 0 0\n"
        "cpu1 200 0 0 9000 0 0 0 0 0 0\n"
        "cpu10 5000 0 0 0 0 0 0 0 0 0\n"
        "intr 1 2 3\n");
  for (const std::string cpu : {"0", "1"}) {
    const std::string folder = "sys/devices/system/cpu/cpu" + cpu;
    write(folder + "/cpufreq/scaling_cur_freq", cpu == "0" ? "2000000\n" : "3000000\n");
    write(folder + "/cpufreq/cpuinfo_max_freq", "4000000\n");
    write(folder + "/thermal_throttle/core_throttle_count", "3\n");
  }
  FakeClock clock;
  const std::vector<int> cpus = {0, 1};
  const Snapshot s = take_snapshot(clock, cpus, root);
  EXPECT_DOUBLE_EQ(s.busy_s.value(), 1.65 + 2.0);
  EXPECT_DOUBLE_EQ(s.steal_s.value(), 0.07);
  EXPECT_DOUBLE_EQ(s.clock_hz.value(), 2.5e9);
  EXPECT_DOUBLE_EQ(s.max_clock_hz.value(), 4e9);
  EXPECT_EQ(s.throttles, 6);
  fs::remove_all(root);
  EXPECT_FALSE(take_snapshot(clock, cpus, root).busy_s);
}

}  // namespace
}  // namespace flashbench::measure

#include "measure/disturbance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "measure/fake_clock.h"
#include "measure/lost_time.h"
#include "measure/sampler.h"
#include "measure/stop_rule.h"

// Samples in which others had a processor that a thread was ready for.
namespace flashbench::measure {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::ElementsAre;

/// Thread 1 reads.
ThreadTimes times_of(std::map<std::int64_t, ThreadTime> threads, double reader_ran_s = 0,
                     std::int64_t sleeps = 0) {
  const ReaderTime reader = {1, threads[1].waited_s, reader_ran_s, sleeps};
  return {std::move(threads), reader, reader};
}

TEST(LostTime, IsThatOfTheThreadThatWaitedLongest) {
  const ThreadTimes before = times_of({{1, {0.5, 3}}, {2, {0.25, 4}}, {3, {9, 1}}});
  const ThreadTimes after = times_of({{1, {0.5625, 4}}, {2, {0.5, 5}}, {3, {9, 1}}}, 0.9375);
  EXPECT_DOUBLE_EQ(lost_s(before, after, 1).value(), 0.25);
}

TEST(LostTime, OfAThreadThatCameMeanwhileCountsAll) {
  const ThreadTimes after = times_of({{1, {0, 3}}, {2, {0.125, 2}}}, 1);
  EXPECT_DOUBLE_EQ(lost_s(times_of({{1, {0, 3}}}), after, 1).value(), 0.125);
}

TEST(LostTime, OfTheReaderIsAllThatItDidNotRun) {
  const ThreadTimes before = times_of({{1, {0.5, 3}}}, 2);
  EXPECT_DOUBLE_EQ(lost_s(before, times_of({{1, {0.5, 3}}}, 2.75), 1).value(), 0.25)
      << "a hypervisor took it";
  EXPECT_DOUBLE_EQ(lost_s(before, times_of({{1, {0.75, 4}}}, 2.75), 1).value(), 0.25);
  EXPECT_EQ(lost_s(before, times_of({{1, {0.5, 3}}}, 3), 1).value(), 0);
}

TEST(LostTime, OfAReaderThatSleptIsWhatItWaitedForAProcessor) {
  const ThreadTimes before = times_of({{1, {0.5, 3}}}, 2);
  EXPECT_EQ(lost_s(before, times_of({{1, {0.5, 4}}}, 2.75, 1), 1).value(), 0);
  EXPECT_DOUBLE_EQ(lost_s(before, times_of({{1, {0.625, 4}}}, 2.75, 1), 1).value(), 0.125);
}

// Beside four programs, of 16 samples of 6 ms the three in which the second reading lost as much as
// the work were left, and passed for undisturbed: 1.8 to 2.5 times what a call takes.
TEST(LostTime, IsNotMadeUpForByWhatTheReadingsLost) {
  ThreadTimes before = times_of({{1, {0, 1}}}), after = times_of({{1, {0.5, 2}}}, 1);
  before.first = {1, -4, 0, 0};  // 4 s between its ends
  after.last = {1, 4.5, 1, 0};
  EXPECT_DOUBLE_EQ(lost_s(before, after, 1.5).value(), 0.5);
  EXPECT_DOUBLE_EQ(lost_s(before, after, 1).value(), 0);
}

TEST(LostTime, IsUnknownWhereTheSystemDoesNotTell) {
  EXPECT_FALSE(lost_s({}, {}, 1).has_value());
  const ThreadTimes uncounted = times_of({{1, {0, 0}}});
  EXPECT_FALSE(lost_s(uncounted, uncounted, 1).has_value()) << "the counters are compiled out";
  ThreadTimeReader nothing("/no/such/folder");
  EXPECT_TRUE(nothing.read().threads.empty());
}

/// A folder like /proc/self/task.
class FakeTasks {
 public:
  FakeTasks() : folder_(fs::path(testing::TempDir()) / ("tasks" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~FakeTasks() { fs::remove_all(folder_); }
  void write(const std::string& thread, const std::string& text) const {
    fs::create_directories(folder_ / thread);
    std::ofstream(folder_ / thread / "schedstat") << text;
  }
  const fs::path& folder() const { return folder_; }

 private:
  fs::path folder_;
};

TEST(ThreadTimeReader, ReadsEveryThreadAndThoseThatComeLater) {
  const FakeTasks tasks;
  tasks.write("17", "5000000 250000000 3\n");
  tasks.write("x", "1 1 1\n");
  ThreadTimeReader reader(tasks.folder());
  ThreadTimes times = reader.read();
  ASSERT_EQ(times.threads.size(), 1u);
  EXPECT_DOUBLE_EQ(times.threads.at(17).waited_s, 0.25);
  EXPECT_EQ(times.threads.at(17).runs, 3);
  tasks.write("18", "0 1000000000 7\n");
  tasks.write("17", "5000000 500000000 4\n");
  times = reader.read();
  ASSERT_EQ(times.threads.size(), 2u);
  EXPECT_DOUBLE_EQ(times.threads.at(17).waited_s, 0.5);
  EXPECT_DOUBLE_EQ(times.threads.at(18).waited_s, 1);
}

TEST(ThreadTimeReader, AWordThatIsNoNumberIsNoThread) {
  const FakeTasks tasks;
  tasks.write("17", "CONFIG_SCHEDSTATS is off");
  EXPECT_TRUE(ThreadTimeReader(tasks.folder()).read().threads.empty());
}

TEST(ThreadTimeReader, SaysNothingWhereAThreadCannotBeRead) {
  const FakeTasks tasks;
  tasks.write("17", "1 1 1");
  fs::create_directories(tasks.folder() / "18");
  EXPECT_TRUE(ThreadTimeReader(tasks.folder()).read().threads.empty());
}

TEST(ThreadTimeReader, CountsWhatThisThreadRan) {
  ThreadTimeReader reader;
  const ThreadTimes before = reader.read();
  EXPECT_EQ(before.first.thread, ::gettid());
  EXPECT_GE(before.last.ran_s, before.first.ran_s);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
  while (std::chrono::steady_clock::now() < end) {
  }
  EXPECT_GT(reader.read().first.ran_s, before.last.ran_s);
}

TEST(LostShare, IsOfTheSecondsThatTheWorkTook) {
  ThreadTimes now = times_of({{1, {0, 1}}});
  const auto share = lost_share([&] { return now; },
                                [&] {
                                  now = times_of({{1, {0.25, 2}}}, 1);
                                  return 1.25;
                                });
  EXPECT_DOUBLE_EQ(share.value(), 0.2);
  EXPECT_FALSE(lost_share([] { return ThreadTimes{}; }, [] { return 1.0; }).has_value());
}

TEST(Undisturbed, LeavesOutMarkedSamples) {
  const std::vector<double> times = {1, 2, 3, 4, 5}, lost = {0, 0.5, 0.019, 0.021, 0};
  const Undisturbed u = undisturbed_of(times, lost);
  EXPECT_THAT(u.times_s, ElementsAre(1, 3, 5));
  EXPECT_EQ(u.marked, 2u);
  EXPECT_TRUE(u.enough);
}

TEST(Undisturbed, IsEverythingWhereNobodyTells) {
  const std::vector<double> times = {1, 2};
  EXPECT_THAT(undisturbed_of(times, {}).times_s, ElementsAre(1, 2));
  EXPECT_TRUE(undisturbed_of(times, {}).enough);
}

TEST(Undisturbed, OfTooFewNothingFollows) {
  const std::vector<double> times = {1, 2, 3, 4}, lost = {0.1, 0, 0.1, 0};
  const Undisturbed few = undisturbed_of(times, lost);
  EXPECT_EQ(few.times_s, times);
  EXPECT_EQ(few.marked, 2u);
  EXPECT_FALSE(few.enough);
  const std::vector<double> many(200, 1.0);
  std::vector<double> mostly(200, 0.5);
  std::fill_n(mostly.begin(), 9, 0.0);
  EXPECT_FALSE(undisturbed_of(many, mostly).enough) << "fewer than a twentieth";
  mostly[9] = 0;
  EXPECT_TRUE(undisturbed_of(many, mostly).enough);
}

StopRule fed_with_disturbed(int undisturbed, int disturbed) {
  StopRule rule{Limits{}};
  for (int i = 0; i < undisturbed; ++i) rule.add(0.1, 0.1);
  for (int i = 0; i < disturbed; ++i) rule.add_disturbed(0.1);
  return rule;
}

TEST(StopRule, DisturbedSamplesSatisfyNothing) {
  EXPECT_FALSE(fed_with_disturbed(9, 100).satisfied());
  EXPECT_TRUE(fed_with_disturbed(10, 100).satisfied());
  EXPECT_TRUE(fed_with_disturbed(0, 3).may_time_out());
}

TEST(StopRule, GivesUpWhereNearlyEverySampleIsDisturbed) {
  EXPECT_TRUE(fed_with_disturbed(0, 16).too_disturbed(100));
  EXPECT_FALSE(fed_with_disturbed(0, 15).too_disturbed(100)) << "too few to say";
  EXPECT_FALSE(fed_with_disturbed(0, 16).too_disturbed(1000)) << "one may come yet";
  EXPECT_FALSE(fed_with_disturbed(8, 8).too_disturbed(10));
  EXPECT_TRUE(fed_with_disturbed(8, 8).too_disturbed(1)) << "time is nearly over";
}

TEST(StopRule, WaitsForAsManyMoreSamplesAsAreDisturbed) {
  EXPECT_DOUBLE_EQ(fed_with_disturbed(5, 5).samples_left(),
                   2 * fed_with_disturbed(5, 0).samples_left());
}

/// Runs for a second; in every `every`-th sample another program has the processor for nine.
class Robbed {
 public:
  explicit Robbed(int every) : every_(every) {
    subject.launch = [this] {
      clock.advance(1);
      ran_s_ += 1;
      const bool robbed = ++launches_ % every_ == 0;
      if (robbed) clock.advance(9);
      now_ = times_of({{1, {0, launches_}}}, ran_s_);
    };
    hooks.thread_times = [this] { return now_; };
  }

  FakeClock clock;
  Subject subject;
  Hooks hooks;

 private:
  int every_, launches_ = 0;
  double ran_s_ = 0;
  ThreadTimes now_ = times_of({{1, {0, 1}}});
};

TEST(Sampler, SamplesThatOthersDisturbedAreKeptAndLeftOutOfTheStatistics) {
  Robbed robbed(2);
  Limits limits;
  limits.min_samples = 6;
  limits.timeout_s = 1000;
  const std::vector<Samples> all =
      sample_interleaved(std::span(&robbed.subject, 1), limits, robbed.clock, robbed.hooks);
  const Undisturbed u = all[0].undisturbed();
  EXPECT_THAT(u.times_s, Each(1.0));
  EXPECT_EQ(u.times_s.size(), 6u);
  EXPECT_GE(u.marked, 5u);
  EXPECT_EQ(all[0].times_s.size(), u.times_s.size() + u.marked);
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kNoise);
}

TEST(Sampler, EndsWhereEverySampleIsDisturbed) {
  Robbed robbed(1);
  Limits limits;
  limits.timeout_s = 1000;
  const std::vector<Samples> all =
      sample_interleaved(std::span(&robbed.subject, 1), limits, robbed.clock, robbed.hooks);
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kDisturbed);
  EXPECT_LE(all[0].times_s.size(), 20u);
  EXPECT_FALSE(all[0].undisturbed().enough);
  EXPECT_THAT(all[0].lost, Each(0.9));
}

TEST(Sampler, DoesNotAskAboutThreadsWhereADeviceTimes) {
  Robbed robbed(1);
  robbed.subject.timed = [&](std::int64_t iterations) { return static_cast<double>(iterations); };
  Limits limits;
  const std::vector<Samples> all =
      sample_interleaved(std::span(&robbed.subject, 1), limits, robbed.clock, robbed.hooks);
  EXPECT_TRUE(all[0].lost.empty()) << "nobody watched";
}

TEST(Sampler, AHypervisorThatTakesTimeMarksTheSamplesOfThatWhile) {
  FakeClock clock;
  double stolen_s = 7;  // of one of two processors
  int launches = 0;
  const Subject subject = {.launch = [&] {
    clock.advance(0.5);
    if (++launches > 8 && launches <= 16) stolen_s += 0.05;
  }};
  Hooks hooks;
  hooks.stolen_s = [&] { return std::vector<double>{3, stolen_s}; };
  Limits limits;
  limits.min_samples = 20;
  limits.timeout_s = 1000;
  const Samples samples = sample_interleaved(std::span(&subject, 1), limits, clock, hooks)[0];
  const Undisturbed u = samples.undisturbed();
  EXPECT_GE(u.times_s.size(), 20u);
  EXPECT_GE(u.marked, 4u);
  EXPECT_LE(u.marked, 8u);
  EXPECT_THAT(samples.lost, Each(AnyOf(0.0, DoubleNear(0.1, 1e-9))));
}

TEST(MedianShareOfPeak, LeavesOutDisturbedSamplesAndProbes) {
  Samples s;
  s.times_s = {1, 10, 1, 1};
  s.lost = {0, 0.9, 0, 0};
  s.probe = {0, 0, 1, 2};
  const std::vector<double> ideal_s = {0.5, std::numeric_limits<double>::quiet_NaN(), 0.7};
  EXPECT_DOUBLE_EQ(median_share_of_peak(s, ideal_s).value(), 0.6);
  s.lost.assign(4, 0.9);
  EXPECT_FALSE(median_share_of_peak(s, ideal_s).has_value());
}

}  // namespace
}  // namespace flashbench::measure

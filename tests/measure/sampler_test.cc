#include "measure/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>

#include "measure/fake_clock.h"

namespace flashbench::measure {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

/// Limits that three samples and no time satisfy.
Limits three_samples() {
  Limits limits;
  limits.min_samples = 3;
  limits.min_time_s = 0;
  return limits;
}

Subject taking(FakeClock& clock, double seconds) {
  return {.launch = [&clock, seconds] { clock.advance(seconds); }};
}

TEST(Sampler, FirstRunIsReportedAndIsNoSample) {
  FakeClock clock({9.0, 1.0, 1.0, 1.0});
  const std::vector<Subject> subjects = {{.launch = [&] { clock.run_next(); }}};
  const std::vector<Samples> all = sample_interleaved(subjects, three_samples(), clock);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_DOUBLE_EQ(all[0].first_run_s, 9.0);
  EXPECT_THAT(all[0].times_s, ElementsAre(1.0, 1.0, 1.0));
  EXPECT_EQ(all[0].warmup.calls, 1) << "9 s are beyond the limit of the warm-up";
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kNoise);
  EXPECT_DOUBLE_EQ(all[0].timed_s, 3.0);
  EXPECT_DOUBLE_EQ(all[0].user_s, 1.0);
}

TEST(Sampler, NoSampleIsDiscarded) {
  FakeClock clock({9.0, 1.0, 1.0, 5.0, 1.0});
  Limits limits = three_samples();
  limits.min_samples = 4;
  limits.max_noise = 10;
  const std::vector<Subject> subjects = {{.launch = [&] { clock.run_next(); }}};
  const auto all = sample_interleaved(subjects, limits, clock);
  EXPECT_THAT(all[0].times_s, ElementsAre(1.0, 1.0, 5.0, 1.0));
}

TEST(Sampler, ShortCallsAreBatched) {
  FakeClock clock;
  const std::vector<Subject> subjects = {taking(clock, 2e-6)};
  const auto all = sample_interleaved(subjects, Limits{}, clock);
  EXPECT_GE(all[0].iterations_per_sample, 500);
  EXPECT_LE(all[0].iterations_per_sample, 600);
  EXPECT_GE(all[0].timed_s, 0.5);
  for (const double t : all[0].times_s) EXPECT_NEAR(t, 2e-6, 1e-12);
  EXPECT_NEAR(all[0].user_s, 2e-6, 1e-12);
}

TEST(Sampler, ColdSubjectsPrepareEveryCall) {
  FakeClock clock;
  int flushes = 0, launches = 0;
  const std::vector<Subject> subjects = {{.launch =
                                              [&] {
                                                ++launches;
                                                clock.advance(1e-5);
                                              },
                                          .before_sample =
                                              [&] {
                                                ++flushes;
                                                clock.advance(3.0);
                                              },
                                          .one_call_per_sample = true}};
  Limits limits = three_samples();
  limits.timeout_s = 1000;
  const auto all = sample_interleaved(subjects, limits, clock);
  EXPECT_EQ(flushes, launches) << "one flush before each single call";
  EXPECT_EQ(all[0].iterations_per_sample, 1);
  for (const double t : all[0].times_s) EXPECT_NEAR(t, 1e-5, 1e-10) << "the flush is not timed";
}

TEST(Sampler, RoundsAlternateTheOrder) {
  FakeClock clock;
  std::string order;
  std::vector<Subject> subjects;
  for (const char name : {'a', 'b'})
    subjects.push_back({.launch = [&, name] {
      order += name;
      clock.advance(2.0);
    }});
  Limits limits = three_samples();
  limits.timeout_s = 1000;
  const auto all = sample_interleaved(subjects, limits, clock);
  // One warm-up call each, then three rounds; above a second no untimed launch is made.
  EXPECT_EQ(order,
            "abab"
            "ba"
            "ab" +
                std::string())
      << "warm-up ab, rounds ab, ba, ab";
  EXPECT_EQ(all[0].times_s.size(), all[1].times_s.size());
}

TEST(Sampler, AnUntimedCallPaysForTheOthersEvictions) {
  FakeClock clock;
  // Each subject is slow on its first launch after the other one ran.
  int last = -1;
  std::vector<Subject> subjects;
  for (const int id : {0, 1})
    subjects.push_back({.launch = [&, id] {
      clock.advance(last == id ? 0.1 : 0.15);
      last = id;
    }});
  Limits limits = three_samples();
  limits.timeout_s = 1000;
  const auto all = sample_interleaved(subjects, limits, clock);
  for (const Samples& s : all)
    for (const double t : s.times_s) EXPECT_NEAR(t, 0.1, 1e-12);
}

TEST(Sampler, ASingleSubjectMakesNoUntimedCalls) {
  FakeClock clock({0.1});
  const std::vector<Subject> subjects = {{.launch = [&] { clock.run_next(); }}};
  const auto all = sample_interleaved(subjects, three_samples(), clock);
  const auto samples = static_cast<std::int64_t>(all[0].times_s.size());
  EXPECT_EQ(clock.launches(), all[0].warmup.calls + samples);
}

TEST(Sampler, ProbesEvictToo) {
  FakeClock clock;
  bool evicted = false;
  const std::vector<Subject> subjects = {{.launch = [&] {
    clock.advance(evicted ? 0.3 : 0.2);
    evicted = false;
  }}};
  Hooks hooks;
  hooks.each_round = [&](int) {
    evicted = true;
    clock.advance(0.04);
  };
  Limits limits = three_samples();
  const auto all = sample_interleaved(subjects, limits, clock, hooks);
  for (const double t : all[0].times_s) EXPECT_NEAR(t, 0.2, 1e-12);
}

TEST(Sampler, ProbesAreSpacedAndSamplesNameTheirs) {
  FakeClock clock;
  const std::vector<Subject> subjects = {taking(clock, 0.1)};
  Limits limits;
  limits.min_samples = 9;
  limits.probe_interval_s = 0.29;
  std::vector<int> calls;
  Hooks hooks;
  hooks.each_round = [&](int probe) { calls.push_back(probe); };
  const auto all = sample_interleaved(subjects, limits, clock, hooks);
  ASSERT_EQ(all[0].times_s.size(), 9u);
  // After a probe comes an untimed call: probe, (0.1), 0.1, 0.1 and 0.3 s have gone by.
  EXPECT_THAT(all[0].probe, ElementsAre(0, 0, 1, 1, 2, 2, 3, 3, 4));
  EXPECT_THAT(calls, ElementsAre(0, 1, 2, 3, 4));
}

TEST(Sampler, TimeIsSharedAndAtLeastThreeSamplesAreTaken) {
  FakeClock clock;
  const std::vector<Subject> subjects = {taking(clock, 5.0), taking(clock, 30.0)};
  const double began_s = clock.now_s();
  const auto all = sample_interleaved(subjects, Limits{}, clock);
  EXPECT_EQ(all[0].times_s.size(), 3u);
  EXPECT_EQ(all[1].times_s.size(), 3u);
  EXPECT_NE(all[1].stopped_by, StoppedBy::kNoise);
  EXPECT_DOUBLE_EQ(clock.now_s() - began_s, 4 * 35.0) << "first runs and three rounds";
}

TEST(Sampler, ARoundThatWouldEndLateIsNotBegun) {
  FakeClock clock;
  const std::vector<Subject> subjects = {taking(clock, 3.0)};
  const double began_s = clock.now_s();
  const auto all = sample_interleaved(subjects, Limits{}, clock);
  EXPECT_LE(clock.now_s() - began_s, 20.0);
  EXPECT_EQ(all[0].times_s.size(), 5u)
      << "3 s for the first run, 15 s in samples, 3 s more are late";
}

TEST(Sampler, NoisySubjectKeepsTheQuietOneCompany) {
  FakeClock clock;
  int n = 0;
  std::vector<Subject> subjects = {taking(clock, 0.05)};
  subjects.push_back({.launch = [&] { clock.advance(0.05 + 0.001 * ((++n * 7) % 13)); }});
  const auto all = sample_interleaved(subjects, Limits{}, clock);
  EXPECT_EQ(all[0].times_s.size(), all[1].times_s.size());
  EXPECT_GT(all[0].times_s.size(), 10u) << "alone, the quiet one would have stopped at 10";
}

TEST(Sampler, InterruptKeepsWhatIsThere) {
  FakeClock clock({9.0, 1.0});
  const std::vector<Subject> subjects = {{.launch = [&] { clock.run_next(); }}};
  Hooks hooks;
  hooks.stop_requested = [&] { return clock.launches() >= 3; };
  const auto all = sample_interleaved(subjects, Limits{}, clock, hooks);
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kInterrupt);
  EXPECT_THAT(all[0].times_s, ElementsAre(1.0, 1.0));
  EXPECT_EQ(clock.launches(), 3) << "nothing is launched after the request";
}

TEST(Sampler, InterruptWithinARoundLaunchesNoOtherSubject) {
  FakeClock clock({2.0});
  const std::vector<Subject> subjects(2, {.launch = [&] { clock.run_next(); }});
  Hooks hooks;
  hooks.stop_requested = [&] { return clock.launches() >= 5; };  // 2 first runs, a round, and one
  const auto all = sample_interleaved(subjects, Limits{}, clock, hooks);
  EXPECT_EQ(clock.launches(), 5);
  EXPECT_EQ(all[0].times_s.size() + all[1].times_s.size(), 3u);
}

TEST(Sampler, InterruptBeforeTheFirstRunLaunchesNothing) {
  FakeClock clock({1.0});
  const std::vector<Subject> subjects = {{.launch = [&] { clock.run_next(); }}};
  Hooks hooks;
  hooks.stop_requested = [] { return true; };
  const auto all = sample_interleaved(subjects, Limits{}, clock, hooks);
  EXPECT_EQ(clock.launches(), 0);
  EXPECT_TRUE(all[0].times_s.empty());
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kInterrupt);
}

std::string what(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    return e.what();
  }
}

TEST(Sampler, ADevicesOwnTimeCountsAndItsQueueIsNeverEmptyBefore) {
  FakeClock clock;
  std::vector<std::string> queue;
  Subject subject;
  subject.launch = [&] { queue.push_back("untimed"); };
  subject.timed = [&](std::int64_t iterations) {
    queue.push_back("timed");
    clock.advance(7.0);  // the wall clock has the host's waiting in it
    return 0.25 * static_cast<double>(iterations);
  };
  Limits limits = three_samples();
  limits.max_warmup_s = 0;
  const auto all = sample_interleaved(std::vector{subject}, limits, clock);
  EXPECT_THAT(all[0].times_s, ElementsAre(0.25, 0.25, 0.25));
  EXPECT_THAT(queue,
              ElementsAre("timed", "untimed", "timed", "untimed", "timed", "untimed", "timed"));
}

TEST(Sampler, OneFailureDoesNotEndTheOthers) {
  FakeClock clock;
  int launches = 0;
  std::vector<Subject> subjects = {taking(clock, 0.1)};
  subjects.push_back({.launch = [&] {
    if (++launches > 10) throw std::runtime_error("device lost");
    clock.advance(0.1);
  }});
  const auto all = sample_interleaved(subjects, Limits{}, clock);
  ASSERT_TRUE(all[1].failure);
  EXPECT_EQ(what(all[1].failure), "device lost");
  EXPECT_NE(all[1].stopped_by, StoppedBy::kNoise);
  EXPECT_FALSE(all[0].failure);
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kNoise);
  EXPECT_EQ(all[0].times_s.size(), 10u);
}

TEST(Sampler, AllFailedEnds) {
  FakeClock clock;
  const std::vector<Subject> subjects = {{.launch = [] { throw std::runtime_error("no"); }}};
  const auto all = sample_interleaved(subjects, Limits{}, clock);
  EXPECT_EQ(what(all[0].failure), "no");
}

TEST(Sampler, ProgressNeverPromisesBeyondTheLimit) {
  FakeClock clock;
  int n = 0;
  const std::vector<Subject> subjects = {
      {.launch = [&] { clock.advance(1.0 + 0.1 * ((++n * 7) % 13)); }}};
  int reports = 0;
  Hooks hooks;
  hooks.progress = [&](const Progress& p) {
    ++reports;
    EXPECT_GE(p.time_left_s, 0);
    EXPECT_LE(p.elapsed_s + p.time_left_s, 20.0 + 2.3);
    ASSERT_EQ(p.medians_s.size(), 1u);
    if (p.round > 0) {
      EXPECT_GT(p.medians_s[0], 0.9);
    }
  };
  sample_interleaved(subjects, Limits{}, clock, hooks);
  EXPECT_GT(reports, 3);
}

TEST(Sampler, RealClockMeasuresAKnownSleep) {
  SteadyClock clock;
  const std::vector<Subject> subjects = {
      {.launch = [] { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }}};
  Limits limits = three_samples();
  limits.timeout_s = 0.2;
  const auto all = sample_interleaved(subjects, limits, clock);
  for (const double t : all[0].times_s) EXPECT_GE(t, 0.005);
  EXPECT_LT(all[0].user_s, 0.004) << "sleeping costs no processor time";
}

TEST(ShareOfPeak, EachSampleMeetsItsOwnProbe) {
  Samples s;
  s.times_s = {2.0, 2.0, 4.0, 4.0};
  s.probe = {0, 0, 1, 1};
  // The machine became half as fast, and so did its peak: the share stays.
  EXPECT_DOUBLE_EQ(median_share_of_peak(s, std::vector<double>{1.0, 2.0}).value(), 0.5);
}

TEST(ShareOfPeak, WithoutProbesThereIsNone) {
  Samples s;
  s.times_s = {2.0};
  s.probe = {-1};
  EXPECT_FALSE(median_share_of_peak(s, std::vector<double>{}));
  EXPECT_FALSE(median_share_of_peak(Samples{}, std::vector<double>{1.0}));
}

TEST(Sampler, NoiseThatStaysEndsBeforeTheTimeout) {
  FakeClock clock;
  int calls = 0;
  const std::vector<Subject> subjects = {
      {.launch = [&] { clock.advance(++calls % 4 < 2 ? 0.010 : 0.013); }}, taking(clock, 0.01)};
  const auto all = sample_interleaved(subjects, Limits{}, clock);
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kNoiseStays);
  EXPECT_EQ(all[1].stopped_by, StoppedBy::kNoise);
  EXPECT_GE(all[0].times_s.size(), 64u);
  EXPECT_LE(all[0].times_s.size(), 200u) << "40 s are enough for over a thousand";
}

/// A subject whose call i takes `time(i)` seconds.
Subject varying(FakeClock& clock, std::function<double(int)> time) {
  return {
      .launch = [&clock, time = std::move(time), i = 0]() mutable { clock.advance(time(i++)); }};
}

/// Between -1 and 1, each value once and in no order.
double scattered(int i) { return std::remainder(i * 0.6180339887498949, 1) * 2; }

TEST(Sampler, WideNoiseWhoseTargetIsFarAwayEndsBeforeTheTimeout) {
  FakeClock clock;
  const auto wide = [](int i) { return 0.02 * (1 + 0.9 * scattered(7919 * i)); };
  const std::vector<Subject> subjects = {varying(clock, wide)};
  Limits limits;
  limits.max_noise = 1e-4;
  const double began_s = clock.now_s();
  const auto all = sample_interleaved(subjects, limits, clock);
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kOutOfReach);
  EXPECT_GE(all[0].times_s.size(), 128u);
  EXPECT_LT(clock.now_s() - began_s, 15.0) << "of 20 s";
}

TEST(Sampler, WideNoiseWithinReachGoesOn) {
  FakeClock clock;
  const auto wide = [](int i) { return 0.002 * (1 + 0.3 * scattered(7919 * i)); };
  const auto all = sample_interleaved(std::vector{varying(clock, wide)}, Limits{}, clock);
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kNoise);
}

TEST(Sampler, NoiseThatFallsAsTheMachineSettlesGoesOn) {
  FakeClock clock;
  const auto settling = [](int i) {
    return 0.02 * (1 + 0.9 * std::exp(-i / 150.0) * scattered(7919 * i));
  };
  Limits limits;
  limits.max_noise = 2e-3;
  const auto all = sample_interleaved(std::vector{varying(clock, settling)}, limits, clock);
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kNoise);
}

TEST(Sampler, TimeThatIsOverIsTheReason) {
  FakeClock clock;
  const auto wide = [](int i) { return 3.0 * (1 + 0.3 * scattered(7919 * i)); };
  const auto all = sample_interleaved(std::vector{varying(clock, wide)}, Limits{}, clock);
  EXPECT_EQ(all[0].stopped_by, StoppedBy::kTimeout);
}

}  // namespace
}  // namespace flashbench::measure

#include "kernel/event_log.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace flashbench {
namespace {

/// `n` events of 1 s each, 1 s apart, phases 0, 1, 2, 0, 1, ...
EventLog filled(std::size_t most, int n) {
  EventLog log(most);
  for (int i = 0; i < n; ++i) log.add(2.0 * i, 2.0 * i + 1, static_cast<std::uint32_t>(i % 3));
  return log;
}

TEST(EventLog, KeepsNothingUnlessAsked) { EXPECT_TRUE(filled(0, 100).events().empty()); }

TEST(EventLog, ShortRunsStandAsTheyHappened) {
  const EventLog log = filled(100, 50);
  ASSERT_EQ(log.events().size(), 50u);
  EXPECT_EQ(log.events()[49].phase, 49u % 3);
  EXPECT_EQ(log.events()[49].calls, 1u);
}

TEST(EventLog, LongRunsStayBoundedAndCovered) {
  for (const int n : {101, 1000, 12345, 1'000'000}) {
    const EventLog log = filled(100, n);
    EXPECT_LE(log.events().size(), 100u) << n;
    std::uint64_t calls = 0;
    double end_s = 0;
    for (std::size_t i = 0; i < log.events().size(); ++i) {
      const EventLog::Event& e = log.events()[i];
      EXPECT_TRUE(i >= 50 || e.calls == 1u) << "the beginning keeps its detail";
      EXPECT_GE(e.start_s, end_s) << "events neither overlap nor swap";
      EXPECT_GT(e.end_s, e.start_s);
      EXPECT_TRUE(e.calls <= 2 || e.phase == EventLog::kSeveral) << "of three phases in turn";
      calls += e.calls;
      end_s = e.end_s;
    }
    EXPECT_EQ(calls, static_cast<std::uint64_t>(n)) << "no call is lost";
    EXPECT_EQ(end_s, 2.0 * (n - 1) + 1) << "the end is covered";
  }
}

TEST(EventLog, MergedCallsOfOnePhaseKeepItsName) {
  EventLog log(10);
  for (int i = 0; i < 1000; ++i) log.add(i, i + 0.5, 7);
  for (const EventLog::Event& e : log.events()) EXPECT_EQ(e.phase, 7u);
}

}  // namespace
}  // namespace flashbench

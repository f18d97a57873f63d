#include "kernel/profile.h"

#include <gtest/gtest.h>

namespace flashbench {
namespace {

using std::chrono::milliseconds;

TEST(PhaseProfile, RowsAddUpOverThreadsAndKeepEach) {
  PhaseProfile profile({"scores", "softmax"}, 2);
  const PhaseProfile::TimePoint zero{};
  profile.add(0, 0, zero, zero + milliseconds(2), {1e6, 300});
  profile.add(1, 0, zero, zero + milliseconds(3), {2e6, 500});
  profile.add(1, 0, zero, zero + milliseconds(5), {});
  profile.add_bytes(1, 64);
  const auto rows = profile.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_NEAR(rows[0].seconds, 0.010, 1e-12);
  EXPECT_EQ(rows[0].calls, 3u);
  EXPECT_EQ(rows[0].cost.flop, 3e6);
  EXPECT_EQ(rows[0].cost.bytes, 800);
  EXPECT_EQ(rows[0].threads[1].cost.flop, 2e6);
  ASSERT_EQ(rows[0].threads.size(), 2u);
  EXPECT_NEAR(rows[0].threads[1].seconds, 0.008, 1e-12);
  EXPECT_EQ(rows[0].threads[1].calls, 2u);
  EXPECT_EQ(rows[1].bytes, 64u);
  EXPECT_TRUE(profile.events(1).empty()) << "nothing is remembered unless asked";
}

TEST(PhaseProfile, RowsOfSeveralLaunchesAddUpButTheirMemory) {
  PhaseProfile::Row row{"scores", 1, 2, 64, {10, 1}, {{1, 2, {10, 1}}}, {{"shfl", 3}}};
  row.add({"scores", 2, 3, 32, {20, 2}, {{0.5, 1, {5, 1}}, {1.5, 2, {15, 1}}}, {{"mma", 7}}});
  row.add({"scores", 0, 0, 0, {}, {}, {{"shfl", 1}}});
  EXPECT_EQ(row.seconds, 3);
  EXPECT_EQ(row.calls, 5u);
  EXPECT_EQ(row.bytes, 64u);
  EXPECT_EQ(row.cost.flop, 30);
  ASSERT_EQ(row.threads.size(), 2u);
  EXPECT_EQ(row.threads[0].seconds, 1.5);
  EXPECT_EQ(row.threads[0].cost.bytes, 2);
  EXPECT_EQ(row.threads[1].calls, 2u);
  using Counts = std::vector<std::pair<std::string, std::uint64_t>>;
  EXPECT_EQ(row.counts, (Counts{{"shfl", 4}, {"mma", 7}}));
}

TEST(PhaseProfile, ProfilesOfSeveralLaunchesAddUpButTheirMemory) {
  PhaseProfile profile({"scores"}, 2, 10), more({"scores"}, 2, 10);
  const PhaseProfile::TimePoint zero{};
  profile.add(0, 0, zero, zero + milliseconds(2), {1, 2});
  more.add(0, 0, zero, zero + milliseconds(3), {10, 20});
  more.add(1, 0, zero, zero + milliseconds(4), {100, 200});
  more.add_bytes(0, 64);
  profile.add(more);
  const PhaseProfile::Row row = profile.rows()[0];
  EXPECT_NEAR(row.seconds, 0.009, 1e-12);
  EXPECT_EQ(row.calls, 3u);
  EXPECT_EQ(row.bytes, 0u);
  EXPECT_EQ(row.cost.flop, 111);
  EXPECT_EQ(row.threads[0].cost.bytes, 22);
  EXPECT_EQ(profile.events(0).size(), 2u);
}

TEST(PhaseProfile, EventsAreThoseOfTheTimers) {
  PhaseProfile profile({"scores"}, 1, 100);
  for (int i = 0; i < 3; ++i) const PhaseTimer timer(&profile, 0, 0);
  ASSERT_EQ(profile.events(0).size(), 3u);
  double sum_s = 0;
  for (const EventLog::Event& e : profile.events(0)) sum_s += e.end_s - e.start_s;
  EXPECT_NEAR(sum_s, profile.rows()[0].seconds, 1e-6);
}

TEST(PhaseTimer, CountsWhatWasAddedWhileItRan) {
  PhaseProfile profile({"scores"}, 1);
  {
    PhaseTimer timer(&profile, 0, 0, {10, 1});
    timer.add({20, 2});
  }
  PhaseTimer nobody(nullptr, 0, 0, {10, 1});
  nobody.add({20, 2});
  EXPECT_EQ(profile.rows()[0].cost.flop, 30);
  EXPECT_EQ(profile.rows()[0].cost.bytes, 3);
}

TEST(PhaseTimer, ItsCostIsThatOfAClock) {
  const double cost_s = phase_timer_cost_s();
  EXPECT_GT(cost_s, 1e-9);
  EXPECT_LT(cost_s, 1e-4);
}

}  // namespace
}  // namespace flashbench

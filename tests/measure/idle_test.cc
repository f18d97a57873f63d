#include "measure/idle.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <fstream>
#include <thread>

namespace flashbench::measure {
namespace {

TEST(WaitUntilIdle, WaitsForThreadsThatSpin) {
  std::atomic<bool> stop = false;
  std::thread spins([&] {
    while (!stop) {
    }
  });
  EXPECT_FALSE(wait_until_idle("/proc/self/task", 0.05));
  stop = true;
  spins.join();
  EXPECT_TRUE(wait_until_idle("/proc/self/task", 5)) << "the one that asks does not count";
}

TEST(WaitUntilIdle, WaitsUntilTheySleep) {
  std::atomic<bool> stop = false;
  std::thread spins_first([&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
    while (std::chrono::steady_clock::now() < end) {
    }
    while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(wait_until_idle("/proc/self/task", 20));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
  stop = true;
  spins_first.join();
}

TEST(WaitUntilIdle, SaysSoWhereNobodyTells) { EXPECT_TRUE(wait_until_idle("/nowhere", 5)); }

TEST(RanS, CountsWhatThreadsRanAndNotWhatTheySlept) {
  double told_ns = 0;
  if (!(std::ifstream("/proc/self/schedstat") >> told_ns) || told_ns == 0)
    GTEST_SKIP() << "this system does not tell";
  const double before_s = ran_s("/proc/self/task");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const double slept_s = ran_s("/proc/self/task");
  EXPECT_LT(slept_s - before_s, 0.1);
  const std::clock_t begin = std::clock();
  while (std::clock() - begin < CLOCKS_PER_SEC / 5) {
  }
  EXPECT_GT(ran_s("/proc/self/task") - slept_s, 0.15);
  EXPECT_EQ(ran_s("/nowhere"), 0);
}

}  // namespace
}  // namespace flashbench::measure

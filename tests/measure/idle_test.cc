#include "measure/idle.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
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

TEST(WaitUntilIdle, SaysSoWhereNobodyTells) { EXPECT_TRUE(wait_until_idle("/nowhere", 5)); }

}  // namespace
}  // namespace flashbench::measure

#include "measure/memory_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

namespace flashbench::measure {
namespace {

TEST(MemoryLog, SeesABufferComeAndGo) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  MemoryLog log;
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  pause();
  {
    const std::unique_ptr<char[]> buffer(new char[kBytes]);
    std::memset(buffer.get(), 1, kBytes);
    pause();
  }
  pause();
  log.stop();
  const auto& points = log.points();
  if (points.empty()) GTEST_SKIP() << "no /proc/self/statm";
  std::size_t peak = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    peak = std::max(peak, points[i].bytes);
    EXPECT_TRUE(i == 0 || points[i].time_s >= points[i - 1].time_s);
  }
  EXPECT_GT(peak, points.front().bytes + kBytes / 2);
  EXPECT_LE(points.size(), MemoryLog::kMostPoints);
}

TEST(MemoryLog, StoppedAtOnceItStillHasAPoint) {
  MemoryLog log;
  log.stop();
  log.stop();
  EXPECT_LE(log.points().size(), MemoryLog::kMostPoints);
}

}  // namespace
}  // namespace flashbench::measure

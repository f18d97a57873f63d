#include "measure/peak_rss.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace flashbench::measure {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

void touch(std::size_t bytes) {
  const auto memory = std::make_unique<char[]>(bytes);
  std::memset(memory.get(), 1, bytes);
  asm volatile("" : : "r"(memory.get()) : "memory");  // else the compiler leaves it all out
}

TEST(PeakRss, RunsOnceWhetherOrNotItCanMeasure) {
  int runs = 0;
  peak_rss_during([&] { ++runs; });
  EXPECT_EQ(runs, 1);
}

TEST(PeakRss, SeesMemoryThatIsFreedAgain) {
  const auto peak = peak_rss_during([] { touch(64 * kMiB); });
  if (!peak) GTEST_SKIP() << "/proc/self/clear_refs is not writable here";
  EXPECT_GE(peak->growth_bytes(), 62 * kMiB);
  EXPECT_LE(peak->growth_bytes(), 80 * kMiB) << "a sanitizer adds an eighth";
}

TEST(PeakRss, AnEarlierPeakDoesNotCount) {
  touch(128 * kMiB);
  const auto peak = peak_rss_during([] { touch(8 * kMiB); });
  if (!peak) GTEST_SKIP() << "/proc/self/clear_refs is not writable here";
  EXPECT_LE(peak->growth_bytes(), 16 * kMiB);
}

}  // namespace
}  // namespace flashbench::measure

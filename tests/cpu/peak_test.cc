#include "cpu/peak.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "cpu/caches.h"
#include "system/error.h"
#include "system/machine.h"

namespace flashbench::cpu {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20, kGiB = std::uint64_t{1} << 30;

TEST(BandwidthBuffer, IsFourTimesTheLastCachesWithinReason) {
  EXPECT_EQ(bandwidth_buffer_bytes(64 * kMiB, 64 * kGiB), 256 * kMiB);
  EXPECT_EQ(bandwidth_buffer_bytes(1 * kMiB, 64 * kGiB), 128 * kMiB);
  EXPECT_EQ(bandwidth_buffer_bytes(900 * kMiB, 64 * kGiB), 2 * kGiB);
  EXPECT_EQ(bandwidth_buffer_bytes(64 * kMiB, std::nullopt), 256 * kMiB);
}

// A process with a limit of 1.2 GB was killed for a buffer of 1.25 GiB.
TEST(BandwidthBuffer, TakesAtMostAQuarterOfWhatIsAvailable) {
  EXPECT_EQ(bandwidth_buffer_bytes(64 * kMiB, 600 * kMiB), 150 * kMiB);
  EXPECT_EQ(bandwidth_buffer_bytes(1 * kMiB, 40 * kMiB), 10 * kMiB);
}

// Of a buffer that the caches hold half of, the bandwidth read is that of the caches.
TEST(BandwidthBuffer, IsRefusedWhereTheCachesWouldHoldMostOfIt) {
  EXPECT_EQ(bandwidth_buffer_bytes(64 * kMiB, 512 * kMiB), 128 * kMiB);
  EXPECT_THROW(bandwidth_buffer_bytes(64 * kMiB, 511 * kMiB), OutOfMemoryError);
  EXPECT_THROW(bandwidth_buffer_bytes(64 * kMiB, 0), OutOfMemoryError);
}

// A reading that others disturb is taken several times: the system may take seconds to give a
// buffer.
TEST(ReadBandwidth, KeepsItsBufferForTheNextReadingOfAsManyThreads) {
  const auto resident = [] {
    std::ifstream statm("/proc/self/statm");
    std::size_t pages = 0, resident_pages = 0;
    statm >> pages >> resident_pages;
    return resident_pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  };
  const std::size_t before = resident();
  const std::size_t bytes =
      bandwidth_buffer_bytes(last_caches_bytes(), machine::available_memory_bytes());
  if (16 * bytes > machine::available_memory_bytes().value_or(0))
    GTEST_SKIP() << "a machine of so little memory keeps none";
  for (const int threads : {1, 1, 2, 2}) {
    measure_read_bandwidth({.isa = Isa::kScalar, .threads = threads});
    EXPECT_GT(resident(), before + bytes * 9 / 10) << threads;
    EXPECT_LT(resident(), before + bytes * 11 / 10) << threads << ": one at a time";
  }
}

TEST(ReadBandwidth, IsThatOfAMemory) {
  const Execution e{.isa = Isa::kScalar, .threads = 1};
  const double rate = measure_read_bandwidth(e);
  EXPECT_GT(rate, 1e7);
  EXPECT_LT(rate, 1e13);
}

}  // namespace
}  // namespace flashbench::cpu

#include "cpu/peak.h"

#include <gtest/gtest.h>

#include "system/error.h"

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

TEST(ReadBandwidth, IsThatOfAMemory) {
  const Execution e{.isa = Isa::kScalar, .threads = 1};
  const double rate = measure_read_bandwidth(e);
  EXPECT_GT(rate, 1e7);
  EXPECT_LT(rate, 1e13);
}

}  // namespace
}  // namespace flashbench::cpu

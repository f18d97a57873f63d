#include "system/caches.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/system/fake_machine.h"

namespace flashbench::machine {
namespace {

/// Two dies of four hardware threads, a last cache each.
class TwoDies : public FakeMachine {
 protected:
  void SetUp() override {
    FakeMachine::SetUp();
    for (int cpu = 0; cpu < 8; ++cpu) {
      cache(cpu, 0, "1", "Data", "32K", std::to_string(cpu));
      cache(cpu, 1, "1", "Instruction", "64K", std::to_string(cpu));
      cache(cpu, 2, "2", "Unified", "1024K", std::to_string(cpu));
      cache(cpu, 3, "3", "Unified", "32M", cpu < 4 ? "0-3" : "4-7");
    }
  }
  std::optional<std::uint64_t> last_level(std::vector<int> cpus) const {
    return last_level_bytes(cpus, root_);
  }
};

// sysconf() says 320 MB where the one die that a process may use has 32.
TEST_F(TwoDies, ALastCacheCountsOnceAndOnlyWhereItIsReached) {
  EXPECT_EQ(last_level({0}), 32u << 20);
  EXPECT_EQ(last_level({0, 1, 3}), 32u << 20);
  EXPECT_EQ(last_level({3, 4}), 64u << 20);
  EXPECT_EQ(last_level({0, 1, 2, 3, 4, 5, 6, 7}), 64u << 20);
}

TEST_F(TwoDies, ProcessorsThatTheSystemDoesNotDescribeAddNothing) {
  EXPECT_FALSE(last_level({}));
  EXPECT_FALSE(last_level({12}));
  EXPECT_EQ(last_level({0, 12}), 32u << 20);
}

TEST_F(TwoDies, WithoutAListOfSharersACacheIsOfItsProcessorAlone) {
  write("sys/devices/system/cpu/cpu4/cache/index3/shared_cpu_list", "\n");
  EXPECT_EQ(last_level({4, 5}), 64u << 20) << "4's own and that of 5, which says that 4 shares it";
}

TEST_F(FakeMachine, WithoutALevelThreeTheSecondIsTheLast) {
  cache(0, 0, "1", "Instruction", "2M", "0");
  cache(0, 1, "2", "Unified", "512K", "0");
  const std::vector<int> first = {0};
  EXPECT_EQ(last_level_bytes(first, root_), 512u << 10);
}

TEST(CpuList, TakesRangesAndNoNonsense) {
  EXPECT_EQ(parse_cpu_list("0-2,5"), (std::vector<int>{0, 1, 2, 5}));
  EXPECT_TRUE(parse_cpu_list("").empty());
  EXPECT_TRUE(parse_cpu_list("none").empty());
  EXPECT_LT(parse_cpu_list("0-2000000000").size(), 100'000u);
}

}  // namespace
}  // namespace flashbench::machine

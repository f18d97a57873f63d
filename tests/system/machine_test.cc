#include "system/machine.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "tests/system/fake_machine.h"

namespace flashbench::machine {
namespace {

TEST_F(FakeMachine, NothingToReadMeansNoLimitAndOneThread) {
  EXPECT_FALSE(cgroup_limits(root_).cpus);
  EXPECT_FALSE(cgroup_limits(root_).memory_bytes);
  EXPECT_FALSE(physical_memory_bytes(root_)) << "0 B would be a number";
  EXPECT_GE(usable_cpus(root_), 1);
}

TEST_F(FakeMachine, V2TakesTheTightestLimitOnTheWayUp) {
  write("proc/self/cgroup", "0::/user/job/step\n");
  write("proc/self/mountinfo",
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  write("sys/fs/cgroup/user/job/step/memory.max", "max\n");
  write("sys/fs/cgroup/user/job/step/memory.current", "1000\n");
  write("sys/fs/cgroup/user/job/step/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/user/job/memory.max", "8000000000\n");
  write("sys/fs/cgroup/user/job/memory.current", "3000000000\n");
  write("sys/fs/cgroup/user/job/memory.stat",
        "anon 2000000000\nfile 1000000000\ninactive_file 600000000\nactive_file 400000000\n");
  write("sys/fs/cgroup/user/job/cpu.max", "150000 100000\n");
  write("sys/fs/cgroup/user/memory.max", "9000000000\n");
  write("sys/fs/cgroup/user/memory.current", "8500000000\n");
  write("sys/fs/cgroup/user/cpu.max", "400000 100000\n");
  const CgroupLimits limits = cgroup_limits(root_);
  EXPECT_EQ(limits.memory_bytes, 8000000000u);
  // The job could take 6 GB, but its parent has only 0.5 GB left.
  EXPECT_EQ(limits.memory_free_bytes, 500000000u);
  EXPECT_DOUBLE_EQ(limits.cpus.value(), 1.5);
  EXPECT_EQ(usable_cpus(8, limits), 2) << "a quota of 1.5 lets two threads run";
  EXPECT_EQ(usable_cpus(1, limits), 1) << "affinity is tighter";
}

TEST_F(FakeMachine, V2PageCacheCountsAsFree) {
  write("proc/self/cgroup", "0::/\n");
  write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/memory.max", "8000\n");
  write("sys/fs/cgroup/memory.current", "7000\n");
  write("sys/fs/cgroup/memory.stat", "anon 2000\ninactive_file 3000\nactive_file 2000\n");
  EXPECT_EQ(cgroup_limits(root_).memory_free_bytes, 6000u);
}

TEST_F(FakeMachine, V2MemoryHighThrottlesAndSoLimits) {
  write("proc/self/cgroup", "0::/a\n");
  write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/a/memory.max", "8000\n");
  write("sys/fs/cgroup/a/memory.high", "6000\n");
  EXPECT_EQ(cgroup_limits(root_).memory_bytes, 6000u);
}

TEST_F(FakeMachine, V1ReadsEachControllerFromItsOwnHierarchy) {
  write("proc/self/cgroup", "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n");
  write("proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  const std::string memory = "sys/fs/cgroup/memory/docker/";
  write(memory + "abc/memory.limit_in_bytes", "4000000000\n");
  write(memory + "abc/memory.usage_in_bytes", "1000000000\n");
  write(memory + "abc/memory.stat",
        "cache 1\ninactive_file 7\ntotal_inactive_file 200000000\ntotal_active_file 100000000\n");
  write(memory + "memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "300000\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
  const CgroupLimits limits = cgroup_limits(root_);
  EXPECT_EQ(limits.memory_bytes, 4000000000u);
  EXPECT_EQ(limits.memory_free_bytes, 3300000000u);
  EXPECT_DOUBLE_EQ(limits.cpus.value(), 3.0);
}

TEST_F(FakeMachine, V1ContainerSeesItsGroupAsTheMountedRoot) {
  write("proc/self/cgroup", "4:memory:/docker/abc/inner\n");
  write("proc/self/mountinfo",
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory\\040v1 ro - cgroup cgroup rw,memory\n");
  write("sys/fs/cgroup/memory v1/memory.limit_in_bytes", "5000\n");
  write("sys/fs/cgroup/memory v1/inner/memory.limit_in_bytes", "4000\n");
  write("sys/fs/cgroup/memory v1/inner/memory.usage_in_bytes", "1500\n");
  EXPECT_EQ(cgroup_limits(root_).memory_bytes, 4000u);
  EXPECT_EQ(cgroup_limits(root_).memory_free_bytes, 2500u);
}

TEST_F(FakeMachine, GroupOutsideTheMountFallsBackToWhatIsMounted) {
  write("proc/self/cgroup", "4:memory:/elsewhere/x\n");
  write("proc/self/mountinfo",
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "7000\n");
  EXPECT_EQ(cgroup_limits(root_).memory_bytes, 7000u);
}

TEST_F(FakeMachine, HybridReadsV1ControllersAndTheUnifiedTree) {
  write("proc/self/cgroup", "4:memory:/job\n1:cpu:/\n0::/unit\n");
  write("proc/self/mountinfo",
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "6000\n");
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1000\n");
  write("sys/fs/cgroup/unified/unit/cpu.max", "50000 100000\n");
  const CgroupLimits limits = cgroup_limits(root_);
  EXPECT_EQ(limits.memory_free_bytes, 5000u);
  EXPECT_DOUBLE_EQ(limits.cpus.value(), 0.5);
  EXPECT_EQ(usable_cpus(4, limits), 1) << "half a processor still runs one thread";
}

TEST_F(FakeMachine, AvailableIsTheSmallerOfMachineAndGroup) {
  meminfo(64000, 32000);
  EXPECT_EQ(physical_memory_bytes(root_), 64000u * 1024);
  EXPECT_EQ(available_memory_bytes(root_), 32000u * 1024);
  write("proc/self/cgroup", "0::/a\n");
  write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/a/memory.max", "1000000\n");
  write("sys/fs/cgroup/a/memory.current", "1200000\n");
  EXPECT_EQ(available_memory_bytes(root_), 0u) << "over its limit: nothing left, not an underflow";
}

TEST_F(FakeMachine, GarbageInTheFilesIsIgnored) {
  meminfo(64000, 32000);
  write("proc/self/cgroup", "nonsense\n0::/a\n");
  write("proc/self/mountinfo", "short - x\n30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/a/memory.max", "\n");
  write("sys/fs/cgroup/a/cpu.max", "0 0\n");
  EXPECT_FALSE(cgroup_limits(root_).cpus);
  EXPECT_EQ(available_memory_bytes(root_), 32000u * 1024);
}

/// A limit of this process, until the end of the block.
class Limited {
 public:
  Limited(decltype(RLIMIT_AS) resource, rlim_t soft) : resource_(resource) {
    getrlimit(resource_, &before_);
    const rlimit now{soft, before_.rlim_max};
    works_ = setrlimit(resource_, &now) == 0;
  }
  ~Limited() { setrlimit(resource_, &before_); }
  Limited(const Limited&) = delete;
  Limited& operator=(const Limited&) = delete;
  bool works() const { return works_; }

 private:
  decltype(RLIMIT_AS) resource_;
  rlimit before_{};
  bool works_ = false;
};

TEST_F(FakeMachine, ALimitOfTheProcessLeavesWhatItHasNotTaken) {
  meminfo(64'000'000, 32'000'000);
  write("proc/self/status", "Name:\tflashbench\nVmSize:\t 3000000 kB\nVmData:\t 1000000 kB\n");
  constexpr rlim_t kLimit = rlim_t{8'000'000} * 1024;
  {
    const Limited address_space(RLIMIT_AS, kLimit);
    if (!address_space.works()) GTEST_SKIP() << "the limit is lower already";
    EXPECT_EQ(available_memory_bytes(root_), std::uint64_t{5'000'000} * 1024);
  }
  const Limited data(RLIMIT_DATA, kLimit);
  if (!data.works()) GTEST_SKIP() << "the limit is lower already";
  EXPECT_EQ(available_memory_bytes(root_), std::uint64_t{7'000'000} * 1024);
}

TEST(Machine, RealMachineHasMemoryAndProcessors) {
  EXPECT_GE(affinity_cpus(), 1);
  EXPECT_GE(usable_cpus(), 1);
  EXPECT_LE(usable_cpus(), affinity_cpus());
  ASSERT_TRUE(physical_memory_bytes());
  EXPECT_GT(*physical_memory_bytes(), 0u);
  ASSERT_TRUE(available_memory_bytes());
  EXPECT_LE(*available_memory_bytes(), *physical_memory_bytes());
}

}  // namespace
}  // namespace flashbench::machine

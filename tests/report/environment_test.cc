#include "report/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "report/version.h"
#include "tests/system/fake_machine.h"

namespace flashbench::report {
namespace {

using machine::FakeMachine;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST_F(FakeMachine, ReadsProcessorCachesAndLimits) {
  write("proc/cpuinfo", "processor\t: 0\nmodel\t\t: 1\nmodel name\t: Fast CPU 9000\n");
  write("proc/meminfo", "MemTotal: 2000 kB\nMemAvailable: 1000 kB\n");
  write("proc/loadavg", "1.25 1.0 0.9 2/300 4711\n");
  write("proc/self/cgroup", "0::/\n");
  write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/memory.max", "512000\n");
  write("sys/fs/cgroup/cpu.max", "100000 100000\n");
  write("etc/os-release", "NAME=\"Debian\"\nPRETTY_NAME=\"Debian 12\"\n");
  const std::string cpu = "sys/devices/system/cpu/";
  write(cpu + "online", "0-3\n");
  for (int i = 0; i < 4; ++i)
    write(cpu + "cpu" + std::to_string(i) + "/topology/thread_siblings_list",
          i % 2 == 0 ? "0,2\n" : "1,3\n");
  cache(0, 0, "1", "Data", "48K", "0,2");
  cache(0, 1, "3", "Unified", "32M", "0-3");
  write(cpu + "cpu0/cpufreq/scaling_governor", "performance\n");

  const Context c = capture_context("avx2", root_);
  EXPECT_EQ(c.cpu.model, "Fast CPU 9000") << "'model' alone is another line";
  EXPECT_EQ(c.cpu.threads, 4);
  EXPECT_EQ(c.cpu.cores, 2);
  EXPECT_EQ(c.cpu.usable_threads, 1) << "the quota is one processor";
  ASSERT_EQ(c.cpu.caches.size(), 2u);
  EXPECT_EQ(c.cpu.caches[0].type, "data");
  EXPECT_EQ(c.cpu.caches[0].bytes, 48u << 10);
  EXPECT_EQ(c.cpu.caches[0].shared_by, 2);
  EXPECT_EQ(c.cpu.caches[1].bytes, 32u << 20);
  EXPECT_EQ(c.cpu.caches[1].shared_by, 4);
  EXPECT_EQ(c.cpu.governor, "performance");
  EXPECT_DOUBLE_EQ(c.cpu.load.value(), 1.25);
  EXPECT_DOUBLE_EQ(c.cpu.cgroup.cpus.value(), 1.0);
  EXPECT_EQ(c.cpu.cgroup.memory_bytes, 512000u);
  EXPECT_EQ(c.memory_available_bytes, 512000u) << "the group is tighter than the machine";
  EXPECT_THAT(c.os, HasSubstr("Debian 12, Linux "));
  EXPECT_FALSE(c.gpu);
}

TEST_F(FakeMachine, NothingReadableIsNoCrash) {
  const Context c = capture_context("scalar", root_);
  EXPECT_FALSE(c.cpu.model.empty());
  EXPECT_GE(c.cpu.cores, 1);
  EXPECT_GE(c.cpu.threads, 1);
  EXPECT_FALSE(c.cpu.governor);
  EXPECT_FALSE(c.cpu.load);
  EXPECT_TRUE(c.cpu.caches.empty());
}

TEST(Environment, OpenMpSettingsAreThoseOfThisProcess) {
  setenv("OMP_PLACES", "cores", 1);
  unsetenv("OMP_WAIT_POLICY");
  const Context c = capture_context("scalar");
  EXPECT_EQ(c.omp.places, "cores");
  EXPECT_FALSE(c.omp.wait_policy);
  EXPECT_GE(c.omp.version, 201500);
  EXPECT_GE(c.omp.max_threads, 1);
  unsetenv("OMP_PLACES");
}

TEST(Version, NamesCompilerAndFlags) {
  const BuildInfo& b = build_info();
  EXPECT_THAT(b.version, MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_THAT(b.compiler, MatchesRegex("[A-Za-z]+ [0-9.]+"));
  EXPECT_THAT(version_line(), HasSubstr("flashbench " + b.version));
  EXPECT_THAT(version_line(), HasSubstr(b.compiler));
  EXPECT_EQ(b.git_sha.has_value(), b.dirty.has_value());
  if (b.git_sha) {
    EXPECT_THAT(*b.git_sha, MatchesRegex("[0-9a-f]{40}"));
  }
}

TEST(Environment, TimeIsIso8601) {
  EXPECT_THAT(utc_now(),
              MatchesRegex("20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z"));
}

}  // namespace
}  // namespace flashbench::report

// What OpenMP grants: the settings that these tests can change while they run. tests/cli has those
// that count before main() begins.
#include "system/team.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <cstdlib>
#include <filesystem>

#include "system/error.h"
#include "system/machine.h"

namespace flashbench::team {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::ptrdiff_t running_threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

/// The variables as they were before.
class Team : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"OMP_NUM_THREADS", "OMP_STACKSIZE"}) ::unsetenv(name);
    omp_set_max_active_levels(1);
  }
};

TEST_F(Team, TheFirstNumberIsThatOfTheOutermostTeam) {
  for (const auto& [value, threads] : {std::pair{"3", 3}, {" 5 , 2", 5}, {"4096,1", 4096}}) {
    ::setenv("OMP_NUM_THREADS", value, 1);
    EXPECT_EQ(default_threads(), threads) << value;
  }
  for (const char* empty : {"", " "}) {
    ::setenv("OMP_NUM_THREADS", empty, 1);
    EXPECT_EQ(default_threads(), machine::usable_cpus());
  }
}

TEST_F(Team, WhatIsNoNumberOfThreadsIsRefusedWithItsRange) {
  for (const char* value : {"0", "-1", "abc", "2,", ",2", "1 2", "4097", "1,4097", "4294967297"}) {
    ::setenv("OMP_NUM_THREADS", value, 1);
    EXPECT_THAT(default_threads, ThrowsMessage<UsageError>(HasSubstr("from 1 to 4096"))) << value;
  }
}

TEST_F(Team, OneThreadIsGrantedWithoutStartingAny) {
  const std::ptrdiff_t before = running_threads();
  EXPECT_EQ(granted(1), 1);
  EXPECT_EQ(running_threads(), before);
}

TEST_F(Team, LevelsThatAllowNoTeamLeaveOneThreadAndAreNamed) {
  omp_set_max_active_levels(0);
  EXPECT_EQ(limited(4), 1);
  EXPECT_EQ(granted(4), 1);
  EXPECT_THAT(limit_text(4), HasSubstr("OMP_MAX_ACTIVE_LEVELS"));
  EXPECT_EQ(limit_text(1), "");
}

TEST_F(Team, StacksThatCannotBeHadAreAnErrorAndNoEndOfTheProgram) {
  const std::ptrdiff_t before = running_threads();
  ::setenv("OMP_STACKSIZE", "200000g", 1);  // more than the address space
  EXPECT_THAT([] { granted(7); }, ThrowsMessage<UnavailableError>(HasSubstr("1 of 7 threads")));
  EXPECT_EQ(running_threads(), before);
  ::setenv("OMP_STACKSIZE", "512", 1);  // KiB
  EXPECT_EQ(granted(7), 7);
  ::setenv("OMP_STACKSIZE", "200000g", 1);
  EXPECT_EQ(granted(5), 5) << "their threads are there";
}

TEST_F(Team, WithoutANumberTeamsAreAsLargeAsTheDefault) {
  set_default(3);
  int threads = 0;
#pragma omp parallel
#pragma omp single
  threads = omp_get_num_threads();
  EXPECT_EQ(threads, 3);
  EXPECT_EQ(omp_get_dynamic(), 0);
}

}  // namespace
}  // namespace flashbench::team

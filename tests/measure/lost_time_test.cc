#include "measure/lost_time.h"

#include <gtest/gtest.h>

#include <vector>

namespace flashbench::measure {
namespace {

ThreadTimes times(std::map<std::int64_t, ThreadTime> threads) {
  ThreadTimes all;
  all.threads = std::move(threads);
  return all;
}

/// What two readings around a second of work say.
std::optional<double> share(const ThreadTimes& before, const ThreadTimes& after) {
  std::vector<ThreadTimes> readings = {after, before};
  const auto read = [&] {
    ThreadTimes next = readings.back();
    readings.pop_back();
    return next;
  };
  return lost_share_of_others(read, [] { return 1.0; });
}

TEST(LostShareOfOthers, IsWhatTheThreadThatWaitedMostWaited) {
  EXPECT_NEAR(
      *share(times({{7, {5.0, 10}}, {8, {1.0, 10}}}), times({{7, {5.1, 11}}, {8, {1.4, 12}}})), 0.4,
      1e-12);
}

TEST(LostShareOfOthers, ThreadsThatCameMeanwhileCountFromZero) {
  EXPECT_NEAR(*share(times({{7, {5.0, 10}}}), times({{7, {5.0, 11}}, {9, {0.2, 1}}})), 0.2, 1e-12);
}

TEST(LostShareOfOthers, SaysNothingWhereNobodyTells) {
  EXPECT_FALSE(share(times({}), times({{7, {5.0, 10}}}))) << "not all that it ever waited";
  EXPECT_FALSE(share(times({{7, {0, 0}}}), times({}))) << "the process is no more";
  EXPECT_FALSE(share(times({{7, {0, 0}}}), times({{7, {0, 0}}}))) << "a kernel that does not count";
}

}  // namespace
}  // namespace flashbench::measure

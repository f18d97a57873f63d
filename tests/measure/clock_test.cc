#include "measure/clock.h"

#include <gtest/gtest.h>

#include <ctime>

namespace flashbench::measure {
namespace {

// Seconds and their fractions come apart.
TEST(SteadyClock, TimeOfTheProcessorGrowsByWhatThisProcessComputes) {
  SteadyClock clock;
  const auto all_s = [&] {
    const CpuTime used = clock.cpu_time();
    return used.user_s + used.system_s;
  };
  const double begin_s = all_s();
  const std::clock_t begin = std::clock();
  double last_s = begin_s, computed_s = 0;
  while (computed_s < 0.3) {
    computed_s = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    const double now_s = all_s();
    ASSERT_GE(now_s, last_s);
    ASSERT_NEAR(now_s - begin_s, computed_s, 0.05);
    last_s = now_s;
  }
}

}  // namespace
}  // namespace flashbench::measure

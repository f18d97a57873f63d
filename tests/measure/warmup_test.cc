#include "measure/warmup.h"

#include <gtest/gtest.h>

namespace flashbench::measure {
namespace {

/// Feeds calls of `call_s(number of the call)` until the warm-up is done.
template <typename F>
Warmup warmed(const Limits& limits, F call_s, std::int64_t max_iterations = 1'000'000) {
  Warmup warmup(limits, max_iterations);
  std::int64_t call = 0;
  while (!warmup.done()) {
    double batch_s = 0;
    for (std::int64_t i = 0; i < warmup.iterations(); ++i) batch_s += call_s(call++);
    warmup.add(batch_s);
  }
  return warmup;
}

TEST(Warmup, SteadyCallsNeedTwoWindows) {
  const Warmup w = warmed(Limits{}, [](std::int64_t) { return 0.01; });
  EXPECT_TRUE(w.info().stable);
  EXPECT_EQ(w.info().calls, 2 * Warmup::kWindow);
  EXPECT_EQ(w.iterations(), 1);
}

TEST(Warmup, SlowStartIsOutlived) {
  const Warmup w = warmed(Limits{}, [](std::int64_t i) {
    return i < 10 ? 0.03 - 0.002 * static_cast<double>(i) : 0.01;
  });
  EXPECT_TRUE(w.info().stable);
  EXPECT_GE(w.info().calls, 10 + Warmup::kWindow) << "a window of falling times is not stable";
}

TEST(Warmup, CallsThatNeverSettleEndAtTheLimit) {
  const Warmup w = warmed(Limits{}, [](std::int64_t i) { return i / 3 % 2 == 0 ? 0.02 : 0.03; });
  EXPECT_FALSE(w.info().stable);
  EXPECT_GE(w.info().seconds, Limits{}.max_warmup_s);
  EXPECT_LT(w.info().seconds, Limits{}.max_warmup_s + 0.031);
}

TEST(Warmup, OneLongCallIsEnough) {
  const Warmup w = warmed(Limits{}, [](std::int64_t) { return 12.0; });
  EXPECT_EQ(w.info().calls, 1);
}

TEST(Warmup, NoTimeAtAllStillMakesTheFirstRun) {
  Limits limits;
  limits.max_warmup_s = 0;
  EXPECT_FALSE(Warmup(limits).done()) << "else the cold first run becomes a sample";
  EXPECT_EQ(warmed(limits, [](std::int64_t) { return 0.001; }).info().calls, 1);
}

TEST(Warmup, ShortCallsAreBatchedToAMillisecond) {
  const Warmup w = warmed(Limits{}, [](std::int64_t) { return 7e-6; });
  EXPECT_TRUE(w.info().stable);
  EXPECT_GE(7e-6 * static_cast<double>(w.iterations()), 1e-3);
  EXPECT_LE(7e-6 * static_cast<double>(w.iterations()), 1.2e-3);
}

TEST(Warmup, StabilityIsThatOfFullBatches) {
  const Warmup w = warmed(Limits{}, [](std::int64_t) { return 7e-6; });
  EXPECT_GE(w.info().calls, 2 * Warmup::kWindow * w.iterations())
      << "single calls and batches are not compared with each other";
}

TEST(Warmup, SlowFirstRunDoesNotHideShortCalls) {
  const Warmup w = warmed(Limits{}, [](std::int64_t i) { return i == 0 ? 0.05 : 5e-6; });
  EXPECT_GE(5e-6 * static_cast<double>(w.iterations()), 1e-3);
}

TEST(Warmup, AnEmptyCallEndsWithABoundedBatch) {
  const Warmup w = warmed(Limits{}, [](std::int64_t) { return 0.0; });
  EXPECT_TRUE(w.done());
  EXPECT_EQ(w.iterations(), Warmup::kMaxIterations);
}

TEST(Warmup, FlushedCallsAreNeverBatched) {
  const Warmup w = warmed(
      Limits{}, [](std::int64_t) { return 7e-6; }, 1);
  EXPECT_TRUE(w.info().stable);
  EXPECT_EQ(w.iterations(), 1);
}

}  // namespace
}  // namespace flashbench::measure

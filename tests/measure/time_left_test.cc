#include "measure/time_left.h"

#include <gtest/gtest.h>

#include <vector>

namespace flashbench::measure {
namespace {

Limits limits() {
  Limits l;
  l.min_time_s = 0.5;
  l.min_samples = 10;
  l.timeout_s = 20;
  l.timeout_samples = 3;
  return l;
}

const std::vector<double> kOne = {1e9};

TEST(TimeLeft, NobodyKnowsBeforeTheFirstCase) { EXPECT_FALSE(TimeLeft(limits()).of(kOne)); }

TEST(TimeLeft, ShortCasesTakeTheLeastTimeAndTheirSetUp) {
  TimeLeft left(limits());
  left.finished(1e9, 0.001, 0.75);  // sampling 0.5 s, the rest set-up
  EXPECT_NEAR(left.of(kOne).value(), 0.75, 1e-12);
  EXPECT_NEAR(left.of(std::vector<double>{1e9, 2e9, 1e8}).value(), 3 * 0.75, 1e-12);
}

TEST(TimeLeft, LongCasesTakeSamplesThenTheTimeoutThenTheLeastSamples) {
  TimeLeft left(limits());
  left.finished(1e9, 0.1, 1.0);  // 10 GFLOP/s, 10 samples of 0.1 s
  EXPECT_NEAR(left.of(std::vector<double>{4e9}).value(), 4, 1e-12);
  EXPECT_NEAR(left.of(std::vector<double>{40e9}).value(), 20, 1e-12);
  EXPECT_NEAR(left.of(std::vector<double>{400e9}).value(), 120, 1e-12);
}

TEST(TimeLeft, NothingLeftIsNoTime) {
  TimeLeft left(limits());
  left.finished(1e9, 0.1, 1.0);
  EXPECT_EQ(left.of({}).value(), 0);
}

}  // namespace
}  // namespace flashbench::measure

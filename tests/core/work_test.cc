#include "core/work.h"

#include <gtest/gtest.h>

namespace flashbench {
namespace {

Problem problem(Shape shape) {
  Problem p;
  p.shape = shape;
  return p;
}

TEST(Work, DenseForwardIsFourAndBackwardTwoAndAHalfTimesThat) {
  Problem p = problem({2, 4, 2, 8, 16, 32});
  const double forward = 4.0 * 2 * 4 * 8 * 16 * 32;  // query heads, not K/V heads
  EXPECT_EQ(count_work(p, count_visible(p, {})).flop_dense, forward);
  EXPECT_EQ(count_work(p, count_visible(p, {})).flop_visible, forward);
  p.pass = Pass::kBackward;
  EXPECT_EQ(count_work(p, count_visible(p, {})).flop_visible, 2.5 * forward);
  p.pass = Pass::kBoth;
  EXPECT_EQ(count_work(p, count_visible(p, {})).flop_visible, 3.5 * forward);
}

TEST(Work, CausalCountsPairsExactlyNotHalf) {
  Problem p = problem({1, 1, 1, 4, 4, 8});
  p.causal = true;
  EXPECT_EQ(count_visible(p, {}).pairs, 10);
  p.shape.kv_len = 6;  // bottom-right: rows see 3, 4, 5, 6
  EXPECT_EQ(count_visible(p, {}).pairs, 18);
  p.shape = {1, 1, 1, 6, 4, 8};  // two empty rows, then 1, 2, 3, 4
  EXPECT_EQ(count_visible(p, {}).pairs, 10);
}

TEST(Work, PaddingHidesPairsAndKvBytes) {
  Problem p = problem({2, 4, 2, 3, 4, 8});
  const std::vector<std::uint8_t> mask = {1, 0, 1, 1, 0, 0, 0, 0};
  const VisibleCount v = count_visible(p, mask);
  EXPECT_EQ(v.pairs, 4 * 3 * 3);
  EXPECT_EQ(v.kv_rows, 2 * 3);
  const double q_bytes = 2 * 4 * 3 * 8 * 4, kv_bytes = 6 * 8 * 4, lse = 2 * 4 * 3 * 4;
  EXPECT_EQ(count_work(p, v).bytes, 2 * q_bytes + 2 * kv_bytes + lse);
  p.pass = Pass::kBackward;
  EXPECT_EQ(count_work(p, v).bytes, 4 * q_bytes + 4 * kv_bytes + lse);
}

TEST(Work, OperandBytesAreWhatTheTensorsTake) {
  Problem p = problem({1, 2, 1, 3, 5, 8});
  p.dtype = Dtype::kBf16;
  EXPECT_EQ(operand_bytes(p), 2u * (2 * 2 * 3 * 8 + 2 * 5 * 8) + 4 * 2 * 3);
  p.padding = PaddingMask::kRandom;
  EXPECT_EQ(operand_bytes(p), 2u * (2 * 2 * 3 * 8 + 2 * 5 * 8) + 4 * 2 * 3 + 5);
}

}  // namespace
}  // namespace flashbench

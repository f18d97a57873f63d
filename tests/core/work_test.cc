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
  EXPECT_EQ(operand_bytes(p).total(), 2u * (2 * 2 * 3 * 8 + 2 * 5 * 8) + 4 * 2 * 3);
  p.padding = PaddingMask::kRandom;
  EXPECT_EQ(operand_bytes(p).total(), 2u * (2 * 2 * 3 * 8 + 2 * 5 * 8) + 4 * 2 * 3 + 5);
}

// Counted by hand: S, dQ and dK sum over or make d, O, dP and dV d_v.
TEST(Work, ValuesOfAnotherWidthCountWithTheirOwn) {
  Problem p = problem({1, 4, 2, 8, 16, 32});
  p.shape.own_d_v = 12;
  const double pairs = 4 * 8 * 16;
  const VisibleCount all = count_visible(p, {});
  EXPECT_EQ(count_work(p, all).flop_visible, 2 * pairs * (32 + 12));
  p.pass = Pass::kBackward;
  EXPECT_EQ(count_work(p, all).flop_visible, 2 * pairs * (3 * 32 + 2 * 12));
  const double q = 4 * 8 * 32 * 4, o = 4 * 8 * 12 * 4, k = 2 * 16 * 32 * 4, v = 2 * 16 * 12 * 4;
  const double lse = 4 * 8 * 4;
  EXPECT_EQ(count_work(p, all).bytes, 2 * (q + o + k + v) + lse);
  EXPECT_EQ(static_cast<double>(operand_bytes(p).inputs), q + k + v + o);
  EXPECT_EQ(static_cast<double>(operand_bytes(p).outputs), o + lse + q + k + v);
}

TEST(Work, KeysAndValuesOfAnotherDtypeTakeItsBytes) {
  Problem p = problem({1, 4, 2, 8, 16, 32});
  p.own_kv_dtype = Dtype::kE4m3;
  const double q = 4 * 8 * 32 * 4, k = 2 * 16 * 32, lse = 4 * 8 * 4, descales = 2 * 2 * 4;
  EXPECT_EQ(count_work(p, count_visible(p, {})).bytes, 2 * q + 2 * k + lse + descales);
  EXPECT_EQ(static_cast<double>(operand_bytes(p).total()), 2 * q + 2 * k + lse + descales);
}

TEST(Shape, TheWidthOfValuesFollowsD) {
  Shape s = {1, 2, 1, 3, 4, 8};
  s.d = 16;
  EXPECT_EQ(s.d_v(), 16);
  EXPECT_EQ(s.v_dims(), s.k_dims());
  Shape same = s;
  same.own_d_v = 16;
  EXPECT_EQ(s, same) << "what counts is the same";
  same.own_d_v = 15;
  EXPECT_NE(s, same);
  EXPECT_EQ(same.o_dims(), (Dims{1, 2, 3, 15}));
  EXPECT_EQ(same.k_dims(), (Dims{1, 1, 4, 16}));
}

}  // namespace
}  // namespace flashbench

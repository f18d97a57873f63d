#include "system/digits.h"

#include <gtest/gtest.h>

namespace flashbench {
namespace {

TEST(Digits, CountsAreNoPowersOfTen) {
  EXPECT_EQ(digits(1020, 3), "1020");  // 1.02e+03 was printed
  EXPECT_EQ(digits(3600, 3), "3600");
  EXPECT_EQ(digits(140, 2), "140");
  EXPECT_EQ(digits(-1020.4, 3), "-1020");
}

TEST(Digits, ARoundingThatAddsADigitAddsNoExponent) {
  EXPECT_EQ(digits(999.7, 3), "1000");
  EXPECT_EQ(digits(99.6, 2), "100");
}

TEST(Digits, SmallOnesKeepTheirDigitsAndHugeOnesTheirExponent) {
  EXPECT_EQ(digits(3.241, 3), "3.24");
  EXPECT_EQ(digits(0.001234, 3), "0.00123");
  EXPECT_EQ(digits(1.7e38, 3), "1.7e+38");
}

}  // namespace
}  // namespace flashbench

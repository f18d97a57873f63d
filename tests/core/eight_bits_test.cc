// The 8-bit types of OCP, in which K and V may be stored.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/dtype.h"

namespace flashbench {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// What the codes 0 to 127 stand for, as the specification counts them: not made by the program.
// clang-format off
constexpr float kE4m3Table[] = {
    0, 0x1p-9f, 0x1p-8f, 0x3p-9f, 0x1p-7f, 0x5p-9f, 0x3p-8f, 0x7p-9f,
    0x1p-6f, 0x9p-9f, 0x5p-8f, 0xbp-9f, 0x3p-7f, 0xdp-9f, 0x7p-8f, 0xfp-9f,
    0x1p-5f, 0x9p-8f, 0x5p-7f, 0xbp-8f, 0x3p-6f, 0xdp-8f, 0x7p-7f, 0xfp-8f,
    0x1p-4f, 0x9p-7f, 0x5p-6f, 0xbp-7f, 0x3p-5f, 0xdp-7f, 0x7p-6f, 0xfp-7f,
    0x1p-3f, 0x9p-6f, 0x5p-5f, 0xbp-6f, 0x3p-4f, 0xdp-6f, 0x7p-5f, 0xfp-6f,
    0x1p-2f, 0x9p-5f, 0x5p-4f, 0xbp-5f, 0x3p-3f, 0xdp-5f, 0x7p-4f, 0xfp-5f,
    0x1p-1f, 0x9p-4f, 0x5p-3f, 0xbp-4f, 0x3p-2f, 0xdp-4f, 0x7p-3f, 0xfp-4f,
    0x1p0f, 0x9p-3f, 0x5p-2f, 0xbp-3f, 0x3p-1f, 0xdp-3f, 0x7p-2f, 0xfp-3f,
    0x1p1f, 0x9p-2f, 0x5p-1f, 0xbp-2f, 0x3p0f, 0xdp-2f, 0x7p-1f, 0xfp-2f,
    0x1p2f, 0x9p-1f, 0x5p0f, 0xbp-1f, 0x3p1f, 0xdp-1f, 0x7p0f, 0xfp-1f,
    0x1p3f, 0x9p0f, 0x5p1f, 0xbp0f, 0x3p2f, 0xdp0f, 0x7p1f, 0xfp0f,
    0x1p4f, 0x9p1f, 0x5p2f, 0xbp1f, 0x3p3f, 0xdp1f, 0x7p2f, 0xfp1f,
    0x1p5f, 0x9p2f, 0x5p3f, 0xbp2f, 0x3p4f, 0xdp2f, 0x7p3f, 0xfp2f,
    0x1p6f, 0x9p3f, 0x5p4f, 0xbp3f, 0x3p5f, 0xdp3f, 0x7p4f, 0xfp3f,
    0x1p7f, 0x9p4f, 0x5p5f, 0xbp4f, 0x3p6f, 0xdp4f, 0x7p5f, 0xfp4f,
    0x1p8f, 0x9p5f, 0x5p6f, 0xbp5f, 0x3p7f, 0xdp5f, 0x7p6f, kNan,
};
constexpr float kE5m2Table[] = {
    0, 0x1p-16f, 0x1p-15f, 0x3p-16f, 0x1p-14f, 0x5p-16f, 0x3p-15f, 0x7p-16f,
    0x1p-13f, 0x5p-15f, 0x3p-14f, 0x7p-15f, 0x1p-12f, 0x5p-14f, 0x3p-13f, 0x7p-14f,
    0x1p-11f, 0x5p-13f, 0x3p-12f, 0x7p-13f, 0x1p-10f, 0x5p-12f, 0x3p-11f, 0x7p-12f,
    0x1p-9f, 0x5p-11f, 0x3p-10f, 0x7p-11f, 0x1p-8f, 0x5p-10f, 0x3p-9f, 0x7p-10f,
    0x1p-7f, 0x5p-9f, 0x3p-8f, 0x7p-9f, 0x1p-6f, 0x5p-8f, 0x3p-7f, 0x7p-8f,
    0x1p-5f, 0x5p-7f, 0x3p-6f, 0x7p-7f, 0x1p-4f, 0x5p-6f, 0x3p-5f, 0x7p-6f,
    0x1p-3f, 0x5p-5f, 0x3p-4f, 0x7p-5f, 0x1p-2f, 0x5p-4f, 0x3p-3f, 0x7p-4f,
    0x1p-1f, 0x5p-3f, 0x3p-2f, 0x7p-3f, 0x1p0f, 0x5p-2f, 0x3p-1f, 0x7p-2f,
    0x1p1f, 0x5p-1f, 0x3p0f, 0x7p-1f, 0x1p2f, 0x5p0f, 0x3p1f, 0x7p0f,
    0x1p3f, 0x5p1f, 0x3p2f, 0x7p1f, 0x1p4f, 0x5p2f, 0x3p3f, 0x7p2f,
    0x1p5f, 0x5p3f, 0x3p4f, 0x7p3f, 0x1p6f, 0x5p4f, 0x3p5f, 0x7p4f,
    0x1p7f, 0x5p5f, 0x3p6f, 0x7p5f, 0x1p8f, 0x5p6f, 0x3p7f, 0x7p6f,
    0x1p9f, 0x5p7f, 0x3p8f, 0x7p7f, 0x1p10f, 0x5p8f, 0x3p9f, 0x7p8f,
    0x1p11f, 0x5p9f, 0x3p10f, 0x7p9f, 0x1p12f, 0x5p10f, 0x3p11f, 0x7p10f,
    0x1p13f, 0x5p11f, 0x3p12f, 0x7p11f, 0x1p14f, 0x5p12f, 0x3p13f, 0x7p12f,
    0x1p15f, 0x5p13f, 0x3p14f, 0x7p13f, kInf, kNan, kNan, kNan,
};
// clang-format on

template <typename T>
const float* table_of() {
  return std::is_same_v<T, E4m3> ? kE4m3Table : kE5m2Table;
}
template <typename T>
float of_code(int code) {
  const float size = table_of<T>()[code & 127];
  return (code & 128) != 0 ? -size : size;
}
template <typename T>
T code(int bits) {
  return {static_cast<std::uint8_t>(bits)};
}

template <typename T>
class EightBits : public testing::Test {};
using Stored = testing::Types<E4m3, E5m2>;
TYPED_TEST_SUITE(EightBits, Stored);

TYPED_TEST(EightBits, EveryCodeStandsForItsNumber) {
  for (int bits = 0; bits < 256; ++bits) {
    const float want = of_code<TypeParam>(bits), got = to_f32(code<TypeParam>(bits));
    EXPECT_EQ(std::signbit(got), bits >= 128) << bits;
    if (std::isnan(want))
      EXPECT_TRUE(std::isnan(got)) << bits;
    else
      EXPECT_EQ(got, want) << bits;
  }
}

TYPED_TEST(EightBits, EveryFiniteCodeSurvivesTheRoundTrip) {
  for (int bits = 0; bits < 256; ++bits) {
    const TypeParam back = from_f32<TypeParam>(of_code<TypeParam>(bits));
    if (!std::isfinite(of_code<TypeParam>(bits))) continue;
    EXPECT_EQ(back.bits, bits);
  }
}

// Below the midpoint of two neighbours goes down, above it up, and the midpoint to the even one.
TYPED_TEST(EightBits, RoundingIsToNearestEven) {
  for (int bits = 0; bits < 255; ++bits) {
    const float a = of_code<TypeParam>(bits), b = of_code<TypeParam>(bits + 1);
    if (!std::isfinite(a) || !std::isfinite(b) || bits == 127) continue;
    const float middle = (a + b) / 2;
    const int even = bits % 2 == 0 ? bits : bits + 1;
    EXPECT_EQ(from_f32<TypeParam>(middle).bits, even) << bits;
    EXPECT_EQ(from_f32<TypeParam>(std::nextafter(middle, a)).bits, bits);
    EXPECT_EQ(from_f32<TypeParam>(std::nextafter(middle, b)).bits, bits + 1);
  }
}

// A K that overflowed to NaN or infinity would make its whole row of the result one.
TYPED_TEST(EightBits, WhatIsTooLargeIsTheLargestAndNanStaysNan) {
  const float largest = *std::max_element(
      table_of<TypeParam>(), table_of<TypeParam>() + 128,
      [](float x, float y) { return (std::isfinite(x) ? x : 0) < (std::isfinite(y) ? y : 0); });
  EXPECT_EQ(static_cast<double>(largest), row_of(kDtypeOf<TypeParam>).largest);
  for (const float x : {largest, 1.01f * largest, 2 * largest, 1e30f, kInf}) {
    EXPECT_EQ(to_f32(from_f32<TypeParam>(x)), largest) << x;
    EXPECT_EQ(to_f32(from_f32<TypeParam>(-x)), -largest) << x;
  }
  EXPECT_TRUE(std::isnan(to_f32(from_f32<TypeParam>(kNan))));
  EXPECT_EQ(from_f32<TypeParam>(std::numeric_limits<float>::denorm_min()).bits, 0);
  EXPECT_EQ(from_f32<TypeParam>(-0.0f).bits, 0x80);
}

TEST(StoredDtypes, AreNoDtypesOfAnythingElse) {
  for (const Dtype t : kDtypes) EXPECT_FALSE(is_only_stored(t)) << name(t);
  EXPECT_EQ(kDtypes.size() + kStoredDtypes.size(), kEnumerators<Dtype>.size());
  EXPECT_EQ(kStoredDtypes.front(), Dtype::kE4m3);
  EXPECT_EQ(kStoredDtypes.back(), Dtype::kE5m2);
}

}  // namespace
}  // namespace flashbench

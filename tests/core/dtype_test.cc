#include "core/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace flashbench {
namespace {

float f32_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }

// An f16 value from its definition: sign · 2^(e - 15) · 1.m, or 2^-14 · 0.m below.
double f16_by_definition(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 31) return mantissa != 0 ? std::nan("") : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Dtype, EveryF16WidensToItsDefinition) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const F16 x{static_cast<std::uint16_t>(i)};
    const double want = f16_by_definition(x.bits);
    const float got = to_f32(x);
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << i;
    } else {
      EXPECT_EQ(static_cast<double>(got), want) << i;
      EXPECT_EQ(std::signbit(got), (i & 0x8000) != 0) << i;
    }
  }
}

TEST(Dtype, EveryF16SurvivesTheRoundTrip) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const F16 x{static_cast<std::uint16_t>(i)};
    const F16 back = to_f16(to_f32(x));
    if (std::isnan(to_f32(x)))
      EXPECT_TRUE(std::isnan(to_f32(back))) << i;
    else
      EXPECT_EQ(back.bits, x.bits) << i;
  }
}

// Between two neighbours of a 16-bit type: below the midpoint goes down, above it up, and the
// midpoint to the even one. Truncation, round-half-up and double rounding all fail this.
template <typename T>
void expect_nearest_even(std::uint16_t low_bits) {
  const T low{low_bits}, high{static_cast<std::uint16_t>(low_bits + 1)};
  const float a = to_f32(low), b = to_f32(high);
  if (!std::isfinite(a) || !std::isfinite(b)) return;
  const double middle = (static_cast<double>(a) + static_cast<double>(b)) / 2;
  const float mid = static_cast<float>(middle);
  if (static_cast<double>(mid) != middle) return;  // not an f32: bf16 subnormals
  const T even = (low_bits & 1) == 0 ? low : high;
  EXPECT_EQ(from_f32<T>(mid).bits, even.bits) << low_bits;
  EXPECT_EQ(from_f32<T>(std::nextafter(mid, a)).bits, low.bits) << low_bits;
  EXPECT_EQ(from_f32<T>(std::nextafter(mid, b)).bits, high.bits) << low_bits;
}

TEST(Dtype, SixteenBitRoundingIsToNearestEven) {
  for (std::uint32_t i = 0; i < 0xffff; ++i) {
    if ((i & 0x7fff) == 0x7fff) continue;
    expect_nearest_even<F16>(static_cast<std::uint16_t>(i));
    expect_nearest_even<Bf16>(static_cast<std::uint16_t>(i));
  }
}

TEST(Dtype, OverflowBecomesInfinityAndNanStaysNan) {
  EXPECT_EQ(to_f16(65519.0f).bits, 0x7bff);  // largest that rounds to 65504
  EXPECT_EQ(to_f16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(to_f16(-1e30f).bits, 0xfc00);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  for (const std::uint32_t nan : {0x7f800001u, 0x7fc00000u, 0xff800001u, 0x7fffffffu}) {
    EXPECT_TRUE(std::isnan(to_f32(to_f16(f32_of(nan)))));
    EXPECT_TRUE(std::isnan(to_f32(to_bf16(f32_of(nan)))));
  }
  EXPECT_EQ(to_f16(std::numeric_limits<float>::denorm_min()).bits, 0);
  EXPECT_EQ(to_f16(-0.0f).bits, 0x8000);
}

TEST(Dtype, NamesRoundTrip) {
  for (const Dtype t : kEnumerators<Dtype>) EXPECT_EQ(from_name<Dtype>(name(t)), t);
  EXPECT_EQ(from_name<Dtype>("fp32"), std::nullopt);
}

// A row of the table that lies would judge every result of that dtype by a wrong noise.
TEST(Dtype, TheTableSaysWhatTheConversionsDo) {
  for (const DtypeRow& row : kDtypeTable)
    with_dtype(row.dtype, [&](auto zero) {
      using T = decltype(zero);
      const auto stored = [](double x) {
        return static_cast<double>(to_f32(from_f32<T>(static_cast<float>(x))));
      };
      EXPECT_EQ(sizeof(T), row.bytes) << row.name;
      const double next = 1 + 2 * row.roundoff;
      EXPECT_EQ(stored(next), next) << row.name;
      EXPECT_EQ(stored(1 + row.roundoff), 1) << row.name << ": halfway, to the even one";
      EXPECT_EQ(stored(row.largest), row.largest) << row.name;
      EXPECT_EQ(stored(row.smallest_subnormal), row.smallest_subnormal) << row.name;
      EXPECT_EQ(stored(row.smallest_subnormal / 2), 0) << row.name;
      const double below = row.smallest_normal * (1 - row.roundoff);
      EXPECT_EQ(stored(below), row.smallest_normal) << row.name << ": a subnormal has fewer bits";
    });
}

}  // namespace
}  // namespace flashbench

#include <map>

#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;
using S32 = std::int32_t;
using S64 = std::int64_t;

// A 16-bit format by its definition: every value it has, from sign, exponent and fraction.
struct Format {
  int exponent_bits, fraction_bits;
  double value(U16 bits) const {
    const int e = bits >> fraction_bits & ((1 << exponent_bits) - 1);
    const int f = bits & ((1 << fraction_bits) - 1), bias = (1 << (exponent_bits - 1)) - 1;
    const double sign = bits >> 15 ? -1 : 1;
    if (e == (1 << exponent_bits) - 1) return f == 0 ? sign * INFINITY : NAN;
    if (e == 0) return sign * std::ldexp(f, 1 - bias - fraction_bits);
    return sign * std::ldexp((1 << fraction_bits) + f, e - bias - fraction_bits);
  }
  // The nearest value, ties to even: by search among the non-negative ones.
  U16 nearest(double v) const {
    if (std::isnan(v)) return 0x7FFF;
    const U16 sign = std::signbit(v) ? 0x8000 : 0;
    const U16 infinity = static_cast<U16>(((1 << exponent_bits) - 1) << fraction_bits);
    v = std::fabs(v);
    U16 low = 0, high = infinity;
    while (high - low > 1) {
      const U16 middle = static_cast<U16>((low + high) / 2);
      (value(middle) <= v ? low : high) = middle;
    }
    // Above the largest finite value a further step counts as the next value.
    const double above =
        high == infinity ? 2 * value(low) - value(static_cast<U16>(low - 1)) : value(high);
    const double to_low = v - value(low), to_high = above - v;
    const bool up = to_high < to_low || (to_high == to_low && (low & 1) != 0);
    return static_cast<U16>(sign | (up ? high : low));
  }
};
constexpr Format kF16{5, 10}, kBf16{8, 7};

std::vector<float> floats_near(const Format& f) {
  std::vector<float> v = edge_values<float>();
  std::mt19937 random(11);
  for (int i = 0; i < 1500; ++i) {
    const auto bits = static_cast<U16>(random());
    const auto x = static_cast<float>(f.value(bits)),
               y = static_cast<float>(f.value(static_cast<U16>(bits + 1)));
    if (!std::isfinite(x) || !std::isfinite(y)) continue;
    v.push_back(x);
    const float tie = x / 2 + y / 2;
    v.insert(v.end(), {tie, std::nextafter(tie, INFINITY), std::nextafter(tie, -INFINITY)});
  }
  v.insert(v.end(), {65504, 65519.996f, 65520, 65536, 3.3895314e38f, 3.3961775e38f});
  return v;
}

void expect_format(const Format& f, const std::string& type) {
  SCOPED_TRACE(type);
  const std::vector<float> a = floats_near(f);
  const auto narrow = apply<U16>("cvt.rn." + type + ".f32 %d, %a;", a);
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(narrow[i], f.nearest(a[i])) << a[i];
  }
  std::vector<U16> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<U16>(i);
  const auto wide = apply<float>("cvt.f32." + type + " %d, %a;", all);
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_TRUE(same(wide[i], static_cast<float>(f.value(all[i])))) << i;
  }
}

TEST(Convert, HalfPrecisionFormatsRoundToNearestEven) {
  expect_format(kF16, "f16");
  expect_format(kBf16, "bf16");
}

TEST(Convert, PairsPutTheFirstOperandOnTop) {
  const std::vector<float> a = floats_near(kBf16), b(a.rbegin(), a.rend());
  const auto bf16 = apply<U32>("cvt.rn.bf16x2.f32 %d, %a, %b;", a, b);
  const auto f16 = apply<U32>("cvt.rn.f16x2.f32 %d, %a, %b;", a, b);
  const auto relu = apply<U32>("cvt.rn.relu.bf16x2.f32 %d, %a, %b;", a, b);
  const auto positive = [](float v) { return std::isnan(v) || v > 0 ? v : 0.0f; };
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(bf16[i], U32{kBf16.nearest(a[i])} << 16 | kBf16.nearest(b[i]));
    ASSERT_EQ(f16[i], U32{kF16.nearest(a[i])} << 16 | kF16.nearest(b[i]));
    ASSERT_EQ(relu[i], U32{kBf16.nearest(positive(a[i]))} << 16 | kBf16.nearest(positive(b[i])));
  }
}

TEST(Convert, Tf32KeepsTenBitsAndRoundsTiesAway) {
  const std::vector<float> a = {1.0f, 1.0f + 0x1p-11f, -1.0f - 0x1p-11f, 1.0f + 0x1p-12f, INFINITY};
  EXPECT_EQ(apply<float>("cvt.rna.tf32.f32 %d, %a;", a),
            (std::vector<float>{1.0f, 1.0f + 0x1p-10f, -1.0f - 0x1p-10f, 1.0f, INFINITY}));
}

// Out of range goes to the nearest end, NaN to 0.
template <class T>
void expect_to_integer(const std::string& type) {
  std::vector<float> a = edge_values<float>();
  a.insert(a.end(),
           {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 2147483520.0f, 2147483648.0f, -2147483648.0f,
            4294967040.0f, 4294967296.0f, 9.2233715e18f, 9.223372e18f, 1.8446743e19f, 1e20f});
  const std::map<std::string, double (*)(double)> modes = {
      {"rni", [](double v) { return std::nearbyint(v); }},
      {"rzi", [](double v) { return std::trunc(v); }},
      {"rmi", [](double v) { return std::floor(v); }},
      {"rpi", [](double v) { return std::ceil(v); }}};
  for (const auto& [mode, round] : modes) {
    const auto d =
        apply<std::make_unsigned_t<T>>(fmt::format("cvt.{}.{}.f32 %d, %a;", mode, type), a);
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (std::isnan(a[i])) continue;
      const double v = round(a[i]);
      using L = std::numeric_limits<T>;
      const double end = std::ldexp(1.0, L::digits);
      const T expected = v >= end                            ? L::max()
                         : v < static_cast<double>(L::min()) ? L::min()
                                                             : static_cast<T>(v);
      ASSERT_EQ(static_cast<T>(d[i]), expected) << mode << " " << type << " of " << a[i];
    }
  }
}

TEST(Convert, FloatsToIntegersClampAtTheEnds) {
  expect_to_integer<S32>("s32");
  expect_to_integer<U32>("u32");
  expect_to_integer<S64>("s64");
  expect_to_integer<U64>("u64");
  EXPECT_EQ(apply<U32>("cvt.rzi.s32.f32 %d, %a;", std::vector<float>{NAN}), (std::vector<U32>{0}));
}

TEST(Convert, IntegersToFloatsRoundOnce) {
  expect_unary<S32>("cvt.rn.f32.s32", [](S32 a) { return static_cast<float>(a); });
  expect_unary<U32>("cvt.rn.f32.u32", [](U32 a) { return static_cast<float>(a); });
  expect_unary<S64>("cvt.rn.f32.s64", [](S64 a) { return static_cast<float>(a); });
  expect_unary<U64>("cvt.rn.f32.u64", [](U64 a) { return static_cast<float>(a); });
  expect_unary<S64>("cvt.rn.f64.s64", [](S64 a) { return static_cast<double>(a); });
  expect_unary<U64>("cvt.rn.f64.u64", [](U64 a) { return static_cast<double>(a); });
}

TEST(Convert, IntegersAreExtendedOrCut) {
  expect_unary<S32>("cvt.s64.s32", [](S32 a) { return S64{a}; });
  expect_unary<U32>("cvt.u64.u32", [](U32 a) { return U64{a}; });
  expect_unary<S64>("cvt.u32.u64", [](S64 a) { return static_cast<U32>(a); });
  expect_unary<U32>("cvt.s32.s8",
                    [](U32 a) { return static_cast<S32>(static_cast<std::int8_t>(a)); });
  expect_unary<U32>("cvt.u32.u16", [](U32 a) { return U32{static_cast<U16>(a)}; });
  expect_unary<S32>("cvt.sat.u8.s32", [](S32 a) {
    return static_cast<U32>(a < 0 ? 0 : a > 255 ? 255 : a);
  });
}

TEST(Convert, BetweenF32AndF64) {
  expect_unary<float>("cvt.f64.f32", [](float a) { return static_cast<double>(a); });
  expect_unary<double>("cvt.rn.f32.f64", [](double a) { return static_cast<float>(a); });
  const std::vector<double> a = {1.0 + 0x1p-40, -1.0 - 0x1p-40};
  const float next = std::nextafter(1.0f, 2.0f);
  EXPECT_EQ(apply<float>("cvt.rz.f32.f64 %d, %a;", a), (std::vector<float>{1, -1}));
  EXPECT_EQ(apply<float>("cvt.rp.f32.f64 %d, %a;", a), (std::vector<float>{next, -1}));
  EXPECT_EQ(apply<float>("cvt.rm.f32.f64 %d, %a;", a), (std::vector<float>{1, -next}));
  expect_unary<float>("cvt.rmi.f32.f32", [](float v) { return std::floor(v); });
  expect_unary<float>("cvt.sat.f32.f32", [](float v) {
    return std::isnan(v) || v <= 0 ? 0.0f : v > 1 ? 1.0f : v;
  });
}

// One rounding per operation, found from exact values by search.
void expect_half_arithmetic(const Format& f, const std::string& type) {
  SCOPED_TRACE(type);
  std::vector<U16> a, b, c;
  std::mt19937 random(5);
  for (int i = 0; i < 4000; ++i) {
    a.push_back(static_cast<U16>(random()));
    b.push_back(static_cast<U16>(random()));
    c.push_back(static_cast<U16>(random()));
    if (i % 2 == 0) {  // near each other: cancellation and ties
      b.back() = static_cast<U16>((a.back() ^ 0x8000) + random() % 64);
      c.back() = static_cast<U16>(a.back() + random() % 512);
    }
  }
  const auto check = [&](const std::string& op, auto exact) {
    const auto d = apply<U16>(op + "." + type + " %d, %a, %b;", a, b);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double v = exact(f.value(a[i]), f.value(b[i]));
      ASSERT_EQ(d[i], f.nearest(v)) << op << " " << f.value(a[i]) << " " << f.value(b[i]);
    }
  };
  check("add.rn", [](double x, double y) { return x + y; });
  check("sub.rn", [](double x, double y) { return x - y; });
  check("mul.rn", [](double x, double y) { return x * y; });
  const auto fma = apply<U16>("fma.rn." + type + " %d, %a, %b, %c;", a, b, c);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const __float128 product = static_cast<__float128>(f.value(a[i])) * f.value(b[i]);
    const __float128 sum = product + f.value(c[i]);
    double nearest = static_cast<double>(sum);
    // Rounded to odd, so that the search rounds once. A third operand that 113 bits lose counts.
    const bool lost = sum == product && f.value(c[i]) != 0;
    const bool above = lost ? f.value(c[i]) > 0 : static_cast<__float128>(nearest) < sum;
    const bool inexact = lost || static_cast<__float128>(nearest) != sum;
    if (std::isfinite(nearest) && inexact && (std::bit_cast<U64>(nearest) & 1) == 0) {
      nearest = std::nextafter(nearest, above ? INFINITY : -INFINITY);
    }
    ASSERT_EQ(fma[i], f.nearest(nearest))
        << f.value(a[i]) << " * " << f.value(b[i]) << " + " << f.value(c[i]);
  }
}

TEST(Half, ArithmeticRoundsOnce) {
  expect_half_arithmetic(kF16, "f16");
  expect_half_arithmetic(kBf16, "bf16");
}

TEST(Half, PairsAreIndependent) {
  const std::vector<U32> a = {0x3C004000, 0x80007C00}, b = {0x3C003C00, 0x00013C00};
  EXPECT_EQ(apply<U32>("add.f16x2 %d, %a, %b;", a, b), (std::vector<U32>{0x40004200, 0x00017C00}));
  EXPECT_EQ(apply<U32>("neg.f16x2 %d, %a;", a), (std::vector<U32>{0xBC00C000, 0x0000FC00}));
  EXPECT_EQ(apply<U32>("max.bf16x2 %d, %a, %b;", std::vector<U32>{0x3F80BF80},
                       std::vector<U32>{0x40000000}),
            (std::vector<U32>{0x40000000}));
  EXPECT_EQ(apply<U32>("fma.rn.bf16x2 %d, %a, %a, %a;", std::vector<U32>{0x3F804000}),
            (std::vector<U32>{0x400040C0}));
}

}  // namespace
}  // namespace flashbench::ptx

#include <cfenv>
#include <limits>

#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

using U32 = std::uint32_t;

template <class T>
void expect_arithmetic(const std::string& type) {
  expect_binary<T>("add.rn." + type, [](T a, T b) { return a + b; });
  expect_binary<T>("add." + type, [](T a, T b) { return a + b; });
  expect_binary<T>("sub.rn." + type, [](T a, T b) { return a - b; });
  expect_binary<T>("mul.rn." + type, [](T a, T b) { return a * b; });
  expect_binary<T>("div.rn." + type, [](T a, T b) { return a / b; });
  expect_ternary<T, T>("fma.rn." + type, [](T a, T b, T c) { return std::fma(a, b, c); });
  expect_unary<T>("neg." + type, [](T a) { return -a; });
  expect_unary<T>("abs." + type, [](T a) { return std::fabs(a); });
  expect_unary<T>("sqrt.rn." + type, [](T a) { return std::sqrt(a); });
  expect_unary<T>("rcp.rn." + type, [](T a) { return 1 / a; });
  expect_binary<T>("copysign." + type, [](T a, T b) { return std::copysign(b, a); });
}

TEST(Float, ArithmeticRoundsToNearest) {
  expect_arithmetic<float>("f32");
  expect_arithmetic<double>("f64");
  expect_binary<float>("div.full.f32", [](float a, float b) { return a / b; });
}

// A NaN loses against a number, unless .NaN asks for it; -0 is less than +0.
TEST(Float, MinimumAndMaximumOfNanAndZeros) {
  const auto max = [](float a, float b) {
    if (std::isnan(a)) return b;
    if (std::isnan(b)) return a;
    if (a == 0 && b == 0) return std::signbit(a) ? b : a;
    return a < b ? b : a;
  };
  const auto min = [&](float a, float b) { return -max(-a, -b); };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  expect_binary<float>("max.f32", max);
  expect_binary<float>("min.f32", min);
  expect_binary<float>("max.NaN.f32", [&](float a, float b) {
    return std::isnan(a) || std::isnan(b) ? nan : max(a, b);
  });
  expect_binary<float>("min.NaN.f32", [&](float a, float b) {
    return std::isnan(a) || std::isnan(b) ? nan : min(a, b);
  });
  expect_ternary<float, float>("max.f32",
                               [&](float a, float b, float c) { return max(max(a, b), c); });
}

// CUDA's expf relies on fma.rm. The exact value is found in long double, 64 bits of mantissa; where
// that is not exact either, its neighbours settle the direction.
TEST(Float, DirectedRoundingBracketsTheExactValue) {
  const std::vector<float> a = pairs<float>(false), b = pairs<float>(true);
  const auto down = apply<float>("mul.rm.f32 %d, %a, %b;", a, b);
  const auto up = apply<float>("mul.rp.f32 %d, %a, %b;", a, b);
  const auto zero = apply<float>("mul.rz.f32 %d, %a, %b;", a, b);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double exact = static_cast<double>(a[i]) * b[i];  // 48 bits
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) continue;
    const double least = std::numeric_limits<float>::denorm_min();
    if (exact != 0 && std::fabs(exact) < least) continue;
    EXPECT_LE(down[i], exact);
    EXPECT_GE(up[i], exact);
    EXPECT_LE(std::fabs(zero[i]), std::fabs(exact));
    if (std::isfinite(down[i]) && std::isfinite(up[i])) {
      EXPECT_TRUE(down[i] == up[i] || std::nextafter(down[i], INFINITY) == up[i]);
    }
  }
}

TEST(Float, FusedMultiplyAddTowardsMinusInfinity) {
  // 1 + 2^-30 lies between 1 and the next float.
  const std::vector<float> a = {0x1p-15f, 0x1p-15f, 3.0f}, b = {0x1p-15f, -0x1p-15f, 5.0f},
                           c = {1, 1, 1};
  EXPECT_EQ(apply<float>("fma.rm.f32 %d, %a, %b, %c;", a, b, c),
            (std::vector<float>{1.0f, std::nextafter(1.0f, 0.0f), 16.0f}));
  EXPECT_EQ(apply<float>("fma.rp.f32 %d, %a, %b, %c;", a, b, c),
            (std::vector<float>{std::nextafter(1.0f, 2.0f), 1.0f, 16.0f}));
}

TEST(Float, FlushToZeroTakesSubnormalInputsAndResults) {
  const auto flush = [](float v) {
    return std::fabs(v) < std::numeric_limits<float>::min() ? std::copysign(0.0f, v) : v;
  };
  expect_binary<float>("add.ftz.f32", [&](float a, float b) { return flush(flush(a) + flush(b)); });
  expect_binary<float>("mul.ftz.f32", [&](float a, float b) { return flush(flush(a) * flush(b)); });
  expect_ternary<float, float>("fma.rn.ftz.f32", [&](float a, float b, float c) {
    return flush(std::fma(flush(a), flush(b), flush(c)));
  });
  expect_unary<float>("ex2.approx.ftz.f32", [&](float a) { return flush(std::exp2(flush(a))); });
}

TEST(Float, SaturationClampsToZeroOneAndTurnsNanToZero) {
  const auto clamp = [](float v) { return std::isnan(v) || v <= 0 ? 0.0f : v > 1 ? 1.0f : v; };
  expect_binary<float>("add.sat.f32", [&](float a, float b) { return clamp(a + b); });
  expect_ternary<float, float>("fma.rn.sat.f32",
                               [&](float a, float b, float c) { return clamp(std::fma(a, b, c)); });
}

template <class F>
void expect_close(const std::string& op, F f, double tolerance) {
  const std::vector<float> a = {0.0f, 1.0f, -1.0f, 0.3f, 2.7f, -8.5f, 1e-4f, 100.0f, 0.9999f};
  const auto d = apply<float>(op + " %d, %a;", a);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double expected = f(static_cast<double>(a[i]));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(d[i])) << op << " of " << a[i];
    } else if (std::isinf(expected)) {
      EXPECT_EQ(d[i], expected) << op << " of " << a[i];
    } else {
      EXPECT_NEAR(d[i], expected, tolerance * std::max(1.0, std::fabs(expected)))
          << op << " of " << a[i];
    }
  }
}

TEST(Float, ApproximateFunctionsAreWithinTheirBounds) {
  expect_close(
      "ex2.approx.f32", [](double v) { return std::exp2(v); }, 1e-6);
  expect_close(
      "lg2.approx.f32", [](double v) { return std::log2(v); }, 1e-6);
  expect_close(
      "rcp.approx.f32", [](double v) { return 1 / v; }, 1e-6);
  expect_close(
      "rsqrt.approx.f32", [](double v) { return 1 / std::sqrt(v); }, 1e-6);
  expect_close(
      "sqrt.approx.f32", [](double v) { return std::sqrt(v); }, 1e-6);
  expect_close(
      "sin.approx.f32", [](double v) { return std::sin(v); }, 1e-6);
  expect_close(
      "cos.approx.f32", [](double v) { return std::cos(v); }, 1e-6);
  expect_close(
      "tanh.approx.f32", [](double v) { return std::tanh(v); }, 1e-6);
}

TEST(Float, ClassesOfNumbers) {
  const std::vector<float> a = edge_values<float>();
  const auto test = [&](const std::string& which) {
    return apply<U32>("testp." + which + ".f32 %q0, %a; selp.u32 %d, 1, 0, %q0;", a);
  };
  const auto finite = test("finite"), nan = test("notanumber"), subnormal = test("subnormal");
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(finite[i], std::isfinite(a[i]));
    EXPECT_EQ(nan[i], std::isnan(a[i]));
    EXPECT_EQ(subnormal[i], std::fpclassify(a[i]) == FP_SUBNORMAL);
  }
}

// Every comparison against NaN, infinities and both zeros.
TEST(Compare, FloatsOrderedAndUnordered) {
  struct Case {
    const char* name;
    bool (*f)(float, float);
  };
  const Case cases[] = {
      {"eq", [](float a, float b) { return a == b; }},
      {"ne", [](float a, float b) { return !std::isunordered(a, b) && a != b; }},
      {"lt", [](float a, float b) { return std::isless(a, b); }},
      {"le", [](float a, float b) { return std::islessequal(a, b); }},
      {"gt", [](float a, float b) { return std::isgreater(a, b); }},
      {"ge", [](float a, float b) { return std::isgreaterequal(a, b); }},
      {"equ", [](float a, float b) { return std::isunordered(a, b) || a == b; }},
      {"neu", [](float a, float b) { return std::isunordered(a, b) || a != b; }},
      {"ltu", [](float a, float b) { return std::isunordered(a, b) || a < b; }},
      {"leu", [](float a, float b) { return std::isunordered(a, b) || a <= b; }},
      {"gtu", [](float a, float b) { return std::isunordered(a, b) || a > b; }},
      {"geu", [](float a, float b) { return std::isunordered(a, b) || a >= b; }},
      {"num", [](float a, float b) { return !std::isunordered(a, b); }},
      {"nan", [](float a, float b) { return std::isunordered(a, b); }},
  };
  const std::vector<float> a = pairs<float>(false), b = pairs<float>(true);
  for (const Case& c : cases) {
    const auto d = apply<U32>(fmt::format("setp.{}.f32 %q0|%q1, %a, %b; selp.u32 %r0, 1, 0, %q0;"
                                          "selp.u32 %r1, 2, 0, %q1; add.u32 %d, %r0, %r1;",
                                          c.name),
                              a, b);
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(d[i], c.f(a[i], b[i]) ? 1u : 2u) << c.name << " " << a[i] << " " << b[i];
    }
  }
}

TEST(Compare, IntegersSignedUnsignedAndCombined) {
  const std::vector<U32> a = pairs<U32>(false), b = pairs<U32>(true);
  const auto below = apply<U32>("setp.lt.s32 %q0, %a, %b; selp.u32 %d, 1, 0, %q0;", a, b);
  const auto lower = apply<U32>("setp.lo.u32 %q0, %a, %b; selp.u32 %d, 1, 0, %q0;", a, b);
  const auto combined = apply<U32>(
      "setp.gt.u32 %q1, %a, 5; setp.hs.and.u32 %q0, %a, %b, !%q1; selp.u32 %d, 1, 0, %q0;", a, b);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(below[i], static_cast<std::int32_t>(a[i]) < static_cast<std::int32_t>(b[i]));
    EXPECT_EQ(lower[i], a[i] < b[i]);
    EXPECT_EQ(combined[i], a[i] >= b[i] && !(a[i] > 5));
  }
}

TEST(Compare, PredicateLogicAndSelection) {
  const std::vector<U32> a = {0, 1, 2, 3};
  EXPECT_EQ(apply<U32>("and.b32 %r0, %a, 1; setp.ne.u32 %q0, %r0, 0; setp.gt.u32 %q1, %a, 1;"
                       "and.pred %q2, %q0, !%q1; or.pred %q3, %q0, %q1; xor.pred %q4, %q0, %q1; "
                       "not.pred %q5, %q0;"
                       "selp.u32 %r1, 1, 0, %q2; selp.u32 %r2, 2, 0, %q3; selp.u32 %r3, 4, 0, %q4;"
                       "selp.u32 %r4, 8, 0, %q5; add.u32 %d, %r1, %r2; add.u32 %d, %d, %r3; "
                       "add.u32 %d, %d, %r4;",
                       a),
            (std::vector<U32>{8, 1 + 2 + 4, 2 + 4 + 8, 2}));
  EXPECT_EQ(apply<U32>("set.lt.u32.u32 %d, %a, 2;", a), (std::vector<U32>{~0u, ~0u, 0, 0}));
  EXPECT_EQ(apply<U32>("sub.s32 %r0, %a, 2; slct.b32.s32 %d, 10, 20, %r0;", a),
            (std::vector<U32>{20, 20, 10, 10}));
}

// Triton's code for 12.0: two f32 in 64 bits.
TEST(FloatPair, BothHalvesAreComputed) {
  const auto pair = [](float low, float high) {
    return std::uint64_t{std::bit_cast<std::uint32_t>(high)} << 32 |
           std::bit_cast<std::uint32_t>(low);
  };
  using U64 = std::uint64_t;
  const std::vector<U64> a{pair(1.5f, -2)}, b{pair(4, 0.25f)}, c{pair(10, 3)};
  EXPECT_EQ((apply<U64>("add.f32x2 %d, %a, %b;", a, b)[0]), pair(5.5f, -1.75f));
  EXPECT_EQ((apply<U64>("sub.rn.f32x2 %d, %a, %b;", a, b)[0]), pair(-2.5f, -2.25f));
  EXPECT_EQ((apply<U64>("mul.f32x2 %d, %a, %b;", a, b)[0]), pair(6, -0.5f));
  EXPECT_EQ((apply<U64>("fma.rn.f32x2 %d, %a, %b, %c;", a, b, c)[0]), pair(16, 2.5f));
}

}  // namespace
}  // namespace flashbench::ptx

#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;
using S16 = std::int16_t;
using S32 = std::int32_t;
using S64 = std::int64_t;
using U128 = unsigned __int128;
using S128 = __int128;

// The manual's definitions on integers of any size, reduced to the type at the end.
template <class T>
void expect_arithmetic(const std::string& type) {
  expect_binary<T>("add." + type, [](T a, T b) { return static_cast<T>(S128{a} + b); });
  expect_binary<T>("sub." + type, [](T a, T b) { return static_cast<T>(S128{a} - b); });
  expect_binary<T>("mul.lo." + type, [](T a, T b) {
    return static_cast<T>(static_cast<U128>(S128{a}) * static_cast<U128>(S128{b}));
  });
  const auto high = [](T a, T b) {
    if constexpr (std::is_signed_v<T>) return static_cast<T>((S128{a} * b) >> (8 * sizeof(T)));
    return static_cast<T>(
        (U128{static_cast<std::make_unsigned_t<T>>(a)} * static_cast<std::make_unsigned_t<T>>(b)) >>
        (8 * sizeof(T)));
  };
  expect_binary<T>("mul.hi." + type, high);
  expect_ternary<T, T>("mad.lo." + type, [](T a, T b, T c) {
    return static_cast<T>(static_cast<U128>(S128{a}) * static_cast<U128>(S128{b}) +
                          static_cast<U128>(S128{c}));
  });
  expect_ternary<T, T>("mad.hi." + type,
                       [&](T a, T b, T c) { return static_cast<T>(S128{high(a, b)} + c); });
  expect_binary<T>("min." + type, [](T a, T b) { return b < a ? b : a; });
  expect_binary<T>("max." + type, [](T a, T b) { return a < b ? b : a; });
  expect_binary<T>("div." + type, [](T a, T b) {
    return b == 0 ? static_cast<T>(-1) : static_cast<T>(S128{a} / S128{b});
  });
  expect_binary<T>("rem." + type,
                   [](T a, T b) { return b == 0 ? a : static_cast<T>(S128{a} % S128{b}); });
}

TEST(Integer, ArithmeticOfEverySizeWrapsAndDividesAsTheManualSays) {
  expect_arithmetic<S16>("s16");
  expect_arithmetic<U16>("u16");
  expect_arithmetic<S32>("s32");
  expect_arithmetic<U32>("u32");
  expect_arithmetic<S64>("s64");
  expect_arithmetic<U64>("u64");
}

TEST(Integer, WideProductsKeepEveryBit) {
  expect_binary<S32>("mul.wide.s32", [](S32 a, S32 b) { return S64{a} * b; });
  expect_binary<U32>("mul.wide.u32", [](U32 a, U32 b) { return U64{a} * b; });
  expect_binary<U16>("mul.wide.u16", [](U16 a, U16 b) { return U32{a} * b; });
  expect_binary<S16>("mul.wide.s16", [](S16 a, S16 b) { return S32{a} * b; });
  expect_ternary<S32, S64>("mad.wide.s32", [](S32 a, S32 b, S64 c) {
    return static_cast<S64>(static_cast<U64>(S64{a} * b) + static_cast<U64>(c));
  });
  expect_ternary<U32, U64>("mad.wide.u32", [](U32 a, U32 b, U64 c) { return U64{a} * b + c; });
}

TEST(Integer, SaturatedSumsStopAtTheEnds) {
  const auto clamp = [](S64 v) {
    return static_cast<S32>(v > 0x7FFFFFFF         ? 0x7FFFFFFF
                            : v < -S64{0x80000000} ? -S64{0x80000000}
                                                   : v);
  };
  expect_binary<S32>("add.sat.s32", [&](S32 a, S32 b) { return clamp(S64{a} + b); });
  expect_binary<S32>("sub.sat.s32", [&](S32 a, S32 b) { return clamp(S64{a} - b); });
}

TEST(Integer, SignsOfTheSmallestValueWrap) {
  expect_unary<S32>("neg.s32", [](S32 a) { return static_cast<S32>(0u - static_cast<U32>(a)); });
  expect_unary<S32>("abs.s32",
                    [](S32 a) { return a < 0 ? static_cast<S32>(0u - static_cast<U32>(a)) : a; });
  expect_unary<S64>(
      "abs.s64", [](S64 a) { return a < 0 ? static_cast<S64>(U64{0} - static_cast<U64>(a)) : a; });
}

template <class T>
void expect_logic(const std::string& type) {
  expect_binary<T>("and." + type, [](T a, T b) { return static_cast<T>(a & b); });
  expect_binary<T>("or." + type, [](T a, T b) { return static_cast<T>(a | b); });
  expect_binary<T>("xor." + type, [](T a, T b) { return static_cast<T>(a ^ b); });
  expect_unary<T>("not." + type, [](T a) { return static_cast<T>(~a); });
  expect_unary<T>("cnot." + type, [](T a) { return static_cast<T>(a == 0); });
}

TEST(Integer, Logic) {
  expect_logic<U16>("b16");
  expect_logic<U32>("b32");
  expect_logic<U64>("b64");
}

TEST(Integer, ShiftCountsBeyondTheWidthAreClamped) {
  const std::vector<U32> counts = {0, 1, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000, 0xFFFFFFFF};
  for (const U32 n : counts) {
    SCOPED_TRACE(n);
    const std::vector<U32> a = edge_values<U32>();
    const std::vector<U32> b(a.size(), n);
    const auto left = apply<U32>("shl.b32 %d, %a, %b;", a, b);
    const auto right = apply<U32>("shr.u32 %d, %a, %b;", a, b);
    const auto arithmetic = apply<U32>("shr.s32 %d, %a, %b;", a, b);
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(left[i], n > 31 ? 0 : a[i] << n);
      EXPECT_EQ(right[i], n > 31 ? 0 : a[i] >> n);
      EXPECT_EQ(arithmetic[i], static_cast<U32>(static_cast<S32>(a[i]) >> (n > 31 ? 31 : n)));
    }
    const std::vector<U64> w = edge_values<U64>();
    const std::vector<U32> m(w.size(), n);
    const auto left64 = apply<U64>("shl.b64 %d, %a, %b;", w, m);
    const auto right64 = apply<U64>("shr.s64 %d, %a, %b;", w, m);
    for (std::size_t i = 0; i < w.size(); ++i) {
      EXPECT_EQ(left64[i], n > 63 ? 0 : w[i] << n);
      EXPECT_EQ(right64[i], static_cast<U64>(static_cast<S64>(w[i]) >> (n > 63 ? 63 : n)));
    }
  }
}

TEST(Integer, FunnelShifts) {
  const auto both = [](U32 a, U32 b) { return U64{b} << 32 | a; };
  expect_ternary<U32, U32>("shf.l.wrap.b32", [&](U32 a, U32 b, U32 c) {
    return static_cast<U32>((both(a, b) << (c % 32)) >> 32);
  });
  expect_ternary<U32, U32>("shf.r.wrap.b32", [&](U32 a, U32 b, U32 c) {
    return static_cast<U32>(both(a, b) >> (c % 32));
  });
  expect_ternary<U32, U32>("shf.l.clamp.b32", [&](U32 a, U32 b, U32 c) {
    return c >= 32 ? a : static_cast<U32>((both(a, b) << c) >> 32);
  });
  expect_ternary<U32, U32>("shf.r.clamp.b32", [&](U32 a, U32 b, U32 c) {
    return c >= 32 ? b : static_cast<U32>(both(a, b) >> c);
  });
}

TEST(Integer, BitCounts) {
  const auto zeros = [](auto v) {
    U32 n = 0;
    for (int i = 8 * sizeof(v) - 1; i >= 0 && (v >> i & 1) == 0; --i) ++n;
    return n;
  };
  const auto ones = [](auto v) {
    U32 n = 0;
    for (; v != 0; v >>= 1) n += static_cast<U32>(v & 1);
    return n;
  };
  expect_unary<U32>("popc.b32", [&](U32 a) { return ones(a); });
  expect_unary<U64>("popc.b64", [&](U64 a) { return ones(a); });
  expect_unary<U32>("clz.b32", [&](U32 a) { return zeros(a); });
  expect_unary<U64>("clz.b64", [&](U64 a) { return zeros(a); });
  expect_unary<U32>("bfind.u32", [&](U32 a) { return a == 0 ? ~0u : 31 - zeros(a); });
  expect_unary<U32>("bfind.shiftamt.u32", [&](U32 a) { return a == 0 ? ~0u : zeros(a); });
  expect_unary<S32>("bfind.s32", [&](S32 a) {
    const U32 u = static_cast<U32>(a < 0 ? ~a : a);
    return u == 0 ? ~0u : 31 - zeros(u);
  });
  expect_unary<U32>("brev.b32", [](U32 a) {
    U32 r = 0;
    for (int i = 0; i < 32; ++i) {
      if (a >> i & 1) r |= 1u << (31 - i);
    }
    return r;
  });
}

TEST(Integer, BitFieldsAtEveryPositionAndLength) {
  std::vector<U32> a, position, length;
  std::mt19937 random(3);
  for (U32 p : {0, 1, 7, 30, 31, 32, 255}) {
    for (U32 n : {0, 1, 8, 31, 32, 40, 255}) {
      a.push_back(static_cast<U32>(random()));
      position.push_back(p);
      length.push_back(n);
    }
  }
  const auto extract = apply<U32>("bfe.u32 %d, %a, %b, %c;", a, position, length);
  const auto extract_signed = apply<U32>("bfe.s32 %d, %a, %b, %c;", a, position, length);
  const auto insert = apply<U32>("bfi.b32 %d, %a, 0x12345678, %b, %c;", a, position, length);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const U32 p = position[i], n = length[i];
    const U64 mask = n >= 64 ? ~U64{0} : (U64{1} << n) - 1;
    const U64 unsigned_field = p > 63 ? 0 : (U64{a[i]} >> p) & mask;
    EXPECT_EQ(extract[i], static_cast<U32>(unsigned_field)) << p << " " << n;
    const U32 top = std::min<U32>(p + n - 1, 31);
    const bool sign = n != 0 && (a[i] >> top & 1) != 0;
    U32 signed_field = static_cast<U32>(unsigned_field);
    if (sign) {
      const U32 valid = p > 31 ? 0 : std::min(n, 32 - p);
      signed_field |= valid >= 32 ? 0 : ~U32{0} << valid;
    }
    EXPECT_EQ(extract_signed[i], signed_field) << p << " " << n;
    const U64 where = p > 31 ? 0 : mask << p;
    EXPECT_EQ(insert[i],
              static_cast<U32>((0x12345678 & ~where) | (p > 31 ? 0 : (U64{a[i]} << p) & where)));
  }
}

TEST(Integer, Lop3FollowsItsTruthTable) {
  const std::vector<U32> a = pairs<U32>(false), b = pairs<U32>(true), c(a.rbegin(), a.rend());
  for (const U32 table : {0x00u, 0x80u, 0xFEu, 0x96u, 0xE8u, 0xCAu, 0x1Bu, 0x3Cu, 0xFFu}) {
    const auto d = apply<U32>(fmt::format("lop3.b32 %d, %a, %b, %c, {};", table), a, b, c);
    for (std::size_t i = 0; i < a.size(); ++i) {
      U32 expected = 0;
      for (int bit = 0; bit < 32; ++bit) {
        const U32 row = (a[i] >> bit & 1) << 2 | (b[i] >> bit & 1) << 1 | (c[i] >> bit & 1);
        expected |= (table >> row & 1) << bit;
      }
      ASSERT_EQ(d[i], expected) << table;
    }
  }
}

TEST(Integer, PrmtPicksBytesAndReplicatesSigns) {
  const std::vector<U32> a(6, 0x83020100), b(6, 0x87068504);
  const std::vector<U32> selector = {0x3210, 0x7654, 0x5140, 0xB210, 0xF8D0, 0x0000};
  const std::vector<U32> expected = {0x83020100, 0x87068504, 0x85010400, 0xFF020100, 0xFF00FF00, 0};
  EXPECT_EQ(apply<U32>("prmt.b32 %d, %a, %b, %c;", a, b, selector), expected);
}

TEST(Integer, CarriesGoThroughFourWords) {
  const std::vector<U32> a = pairs<U32>(false), b = pairs<U32>(true);
  // (a, b) + (b, a) as 64-bit numbers, and their difference: the high word needs the carry.
  const auto sum =
      apply<U32>(".reg .b32 %low; add.cc.u32 %low, %a, %b; addc.u32 %d, %b, %a;", a, b);
  const auto difference =
      apply<U32>(".reg .b32 %low; sub.cc.u32 %low, %a, %b; subc.u32 %d, %b, %a;", a, b);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const U64 x = U64{b[i]} << 32 | a[i], y = U64{a[i]} << 32 | b[i];
    EXPECT_EQ(sum[i], static_cast<U32>((x + y) >> 32));
    EXPECT_EQ(difference[i], static_cast<U32>((x - y) >> 32));
  }
}

}  // namespace
}  // namespace flashbench::ptx

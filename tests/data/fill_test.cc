#include "data/fill.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

namespace flashbench::data {
namespace {

Tensor filled(Dtype dtype, Dims dims, Values values, std::uint64_t seed, TensorId id,
              int threads = 0) {
  Tensor t(dtype, dims);
  t.poison();
  fill(t, seed, id, values, threads);
  return t;
}
Tensor filled(Dtype dtype, std::int64_t count, std::uint64_t seed, TensorId id, int threads = 0) {
  return filled(dtype, {1, 1, 1, count}, Values::kNormal, seed, id, threads);
}

std::vector<std::uint32_t> bits(const Tensor& t) {
  std::vector<std::uint32_t> out;
  for (std::int64_t i = 0; i < t.count(); ++i)
    out.push_back(t.dtype() == Dtype::kF32    ? std::bit_cast<std::uint32_t>(t.as<float>()[i])
                  : t.dtype() == Dtype::kBf16 ? t.as<Bf16>()[i].bits
                                              : t.as<F16>()[i].bits);
  return out;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

TEST(Fill, NeverChangesItsBits) {
  // Reports from different releases compare only if a seed means the same tensor in each. The bits
  // come from an exact-rational evaluation of the formula in fill.cc.
  EXPECT_EQ(bits(filled(Dtype::kF32, 7, 0, TensorId::kQ)),
            (std::vector<std::uint32_t>{0x3f13f9ca, 0x3f03244b, 0xbe635408, 0x3f363cf7, 0xbf5e5b44,
                                        0xbf9d8744, 0xbd392e8d}));
  EXPECT_EQ(bits(filled(Dtype::kBf16, 7, 0, TensorId::kQ)),
            (std::vector<std::uint32_t>{0x3f14, 0x3f03, 0xbe63, 0x3f36, 0xbf5e, 0xbf9e, 0xbd39}));
  EXPECT_EQ(bits(filled(Dtype::kF16, 7, 0, TensorId::kQ)),
            (std::vector<std::uint32_t>{0x38a0, 0x3819, 0xb31b, 0x39b2, 0xbaf3, 0xbcec, 0xa9c9}));
  EXPECT_EQ(bits(filled(Dtype::kF32, 4, 0x123456789abcdef0u, TensorId::kDo)),
            (std::vector<std::uint32_t>{0x3fcaa06e, 0x3edd8ef4, 0xbd0e9bea, 0x3f7e6648}));
}

TEST(Fill, UniformValuesNeverChangeTheirBits) {
  // The upper 24 bits of every other Philox word, as multiples of 2^-24.
  EXPECT_EQ(bits(filled(Dtype::kF32, {1, 1, 1, 8}, Values::kUniform, 0, TensorId::kQ)),
            (std::vector<std::uint32_t>{0x3ecc4fd0, 0x3f3c57ac, 0x3f78e4cc, 0x3f31a574, 0x3c9f5460,
                                        0x3e10544c, 0x3f4990ef, 0x3f1ac913}));
}

TEST(Fill, UniformValuesFillTheirRangeEvenly) {
  const std::int64_t count = 100'000;
  const Tensor t = filled(Dtype::kF32, {1, 1, 1, count}, Values::kUniform, 1, TensorId::kV);
  std::int64_t of_tenth[10] = {};
  for (std::int64_t i = 0; i < count; ++i) {
    ASSERT_GE(t.at(i), 0.0f);
    ASSERT_LT(t.at(i), 1.0f);
    ++of_tenth[static_cast<int>(t.at(i) * 10)];
  }
  for (const std::int64_t n : of_tenth) EXPECT_NEAR(static_cast<double>(n), 10'000, 500);
}

TEST(Fill, PositiveAndConstantValuesAreWhatTheyAreCalled) {
  for (const Dtype dtype : kDtypes) {
    const Dims dims{1, 2, 33, 7};
    const Tensor normal = filled(dtype, dims, Values::kNormal, 4, TensorId::kDo);
    const Tensor positive = filled(dtype, dims, Values::kPositive, 4, TensorId::kDo);
    const Tensor constant = filled(dtype, dims, Values::kConstant, 4, TensorId::kDo);
    for (std::int64_t i = 0; i < normal.count(); ++i) {
      ASSERT_EQ(positive.at(i), std::abs(normal.at(i))) << i;
      ASSERT_NEAR(constant.at(i), 0.1f, 0.1f * row_of(dtype).roundoff) << i;
    }
  }
}

TEST(Fill, OutliersAreInKAndVAloneAndScaledExactly) {
  const Dims dims{2, 2, 35, 9};
  struct Expected {
    TensorId id;
    float channel, row;
  };
  for (const Dtype dtype : kDtypes)
    for (const Expected& e : {Expected{TensorId::kQ, 1, 1}, Expected{TensorId::kK, 8, 8},
                              Expected{TensorId::kV, 256, 64}, Expected{TensorId::kDo, 1, 1}}) {
      const Tensor normal = filled(dtype, dims, Values::kNormal, 2, e.id);
      const Tensor channel = filled(dtype, dims, Values::kOutlierChannel, 2, e.id);
      const Tensor rows = filled(dtype, dims, Values::kOutlierRows, 2, e.id);
      for (std::int64_t i = 0; i < normal.count(); ++i) {
        ASSERT_EQ(channel.at(i), normal.at(i) * (i % 9 == 3 ? e.channel : 1)) << i;
        ASSERT_EQ(rows.at(i), normal.at(i) * (i / 9 % 16 == 0 ? e.row : 1)) << i;
      }
    }
}

TEST(Fill, IsTheSameOnAnyNumberOfThreads) {
  for (const Dtype dtype : kDtypes) {
    for (const std::int64_t count : {1, 2, 31, 33, 100'003}) {
      const Tensor one = filled(dtype, count, 3, TensorId::kK, 1);
      EXPECT_TRUE(same_bytes(one, filled(dtype, count, 3, TensorId::kK, 2))) << count;
      EXPECT_TRUE(same_bytes(one, filled(dtype, count, 3, TensorId::kK, 7))) << count;
    }
  }
}

TEST(Fill, ALongerTensorStartsWithTheShorterOne) {
  const std::vector<std::uint32_t> longer = bits(filled(Dtype::kF32, 1000, 5, TensorId::kV));
  for (const std::size_t count : {1u, 31u, 32u, 33u, 64u, 999u}) {
    const auto shorter = bits(filled(Dtype::kF32, static_cast<int>(count), 5, TensorId::kV));
    EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), longer.begin())) << count;
  }
}

TEST(Fill, SixteenBitTensorsAreRoundingsOfTheF32One) {
  const Tensor f32 = filled(Dtype::kF32, 50'000, 11, TensorId::kQ);
  const Tensor bf16 = filled(Dtype::kBf16, 50'000, 11, TensorId::kQ);
  const Tensor f16 = filled(Dtype::kF16, 50'000, 11, TensorId::kQ);
  for (std::int64_t i = 0; i < f32.count(); ++i) {
    ASSERT_EQ(bf16.as<Bf16>()[i].bits, to_bf16(f32.at(i)).bits) << i;
    ASSERT_EQ(f16.as<F16>()[i].bits, to_f16(f32.at(i)).bits) << i;
  }
}

struct Moments {
  double mean = 0, variance = 0, skewness = 0, excess_kurtosis = 0, max = 0;
};

Moments moments(const Tensor& t) {
  const double n = static_cast<double>(t.count());
  double s1 = 0, s2 = 0, s3 = 0, s4 = 0;
  Moments m;
  for (std::int64_t i = 0; i < t.count(); ++i) {
    const double x = static_cast<double>(t.at(i));
    s1 += x, s2 += x * x, s3 += x * x * x, s4 += x * x * x * x;
    m.max = std::max(m.max, std::abs(x));
  }
  m.mean = s1 / n;
  m.variance = s2 / n - m.mean * m.mean;
  m.skewness = s3 / n / std::pow(m.variance, 1.5);
  m.excess_kurtosis = s4 / n / (m.variance * m.variance) - 3;
  return m;
}

TEST(Fill, LooksNormal) {
  const std::int64_t count = 4'000'000;  // standard errors: mean 5e-4, variance 7e-4, kurtosis 2e-3
  for (const TensorId id : {TensorId::kQ, TensorId::kK, TensorId::kV, TensorId::kDo}) {
    const Moments m = moments(filled(Dtype::kF32, count, 42, id));
    EXPECT_NEAR(m.mean, 0, 2.5e-3);
    EXPECT_NEAR(m.variance, 0.9996, 3.5e-3);
    EXPECT_NEAR(m.skewness, 0, 6e-3);
    EXPECT_NEAR(m.excess_kurtosis, -0.060, 0.012);
    EXPECT_GT(m.max, 4.5);  // tails exist
    EXPECT_LT(m.max, 5.96);
  }
}

TEST(Fill, FollowsTheNormalDistributionFunction) {
  const Tensor t = filled(Dtype::kF32, 1'000'000, 9, TensorId::kQ);
  for (const double x : {-3.0, -2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 3.0}) {
    double below = 0;
    for (std::int64_t i = 0; i < t.count(); ++i) below += static_cast<double>(t.at(i)) < x;
    EXPECT_NEAR(below / static_cast<double>(t.count()), 0.5 * std::erfc(-x / std::sqrt(2.0)), 5e-3)
        << x;
  }
}

TEST(Fill, UsesTheWholeMantissa) {
  // Inputs on a coarse grid would make f32 products exact and hide rounding errors of kernels.
  const Tensor t = filled(Dtype::kF32, 10'000, 1, TensorId::kQ);
  int odd = 0;
  for (const std::uint32_t x : bits(t)) odd += static_cast<int>(x & 1u);
  EXPECT_GT(odd, 4000);  // not half: values below 2^-4 are exact, ties go to even
}

double correlation(const Tensor& a, const Tensor& b, std::int64_t lag) {
  double sum = 0;
  const std::int64_t n = a.count() - lag;
  for (std::int64_t i = 0; i < n; ++i)
    sum += static_cast<double>(a.at(i)) * static_cast<double>(b.at(i + lag));
  return sum / static_cast<double>(n);
}

TEST(Fill, TensorsAndSeedsAreIndependent) {
  const std::int64_t count = 250'000;  // standard error of a correlation: 2e-3
  std::vector<Tensor> tensors;
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32})
    for (const TensorId id : {TensorId::kQ, TensorId::kK, TensorId::kV, TensorId::kDo})
      tensors.push_back(filled(Dtype::kF32, count, seed, id));
  for (std::size_t a = 0; a < tensors.size(); ++a) {
    for (std::size_t b = a + 1; b < tensors.size(); ++b)
      EXPECT_NEAR(correlation(tensors[a], tensors[b], 0), 0, 0.01) << a << ' ' << b;
    for (const std::int64_t lag : {1, 2, 3, 32, 512})
      EXPECT_NEAR(correlation(tensors[a], tensors[a], lag), 0, 0.01) << a << " lag " << lag;
  }
}

// A rank that fills its rows alone and one that has the whole tensor would compute other problems.
TEST(FillRows, GiveTheBitsOfTheWholeTensor) {
  const std::vector<float> descales = {0.5f, 2.0f, 0.25f, 8.0f};
  for (const std::int64_t d : {1, 7, 16, 33})
    for (const std::int64_t rows : {1, 13, 50})
      for (const Values values : kEnumerators<Values>)
        for (const TensorId id : {TensorId::kQ, TensorId::kK, TensorId::kV})
          for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kE4m3}) {
            const Dims dims = {2, 2, rows, d};
            const std::span<const float> divisors =
                dtype == Dtype::kE4m3 ? std::span<const float>(descales) : std::span<const float>();
            Tensor whole(dtype, dims);
            fill(whole, 5, id, values, 1, divisors);
            for (const std::int64_t first : {std::int64_t{0}, rows / 3, rows - 1}) {
              const std::int64_t count = std::max<std::int64_t>((rows - first) / 2, 1);
              Tensor part(dtype, {2, 2, count, d});
              part.poison();
              fill_rows(part, dims, first, 5, id, values, 2, divisors);
              for (std::int64_t h = 0; h < 4; ++h)
                ASSERT_EQ(std::memcmp(static_cast<const std::byte*>(part.data()) +
                                          part.dims().index(h / 2, h % 2, 0, 0) *
                                              static_cast<std::int64_t>(size_bytes(dtype)),
                                      static_cast<const std::byte*>(whole.data()) +
                                          dims.index(h / 2, h % 2, first, 0) *
                                              static_cast<std::int64_t>(size_bytes(dtype)),
                                      static_cast<std::size_t>(count * d) * size_bytes(dtype)),
                          0)
                    << d << " " << rows << " " << first << " " << name(values) << " "
                    << name(dtype);
            }
          }
}

TEST(RandomMask, NeverChangesItsBits) {
  EXPECT_EQ(random_mask(2, 8, 0.5, 7),
            (std::vector<std::uint8_t>{0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1}));
}

TEST(RandomMask, KeepsTheShareThatWasAskedFor) {
  for (const double keep : {0.1, 0.5, 0.9}) {
    const auto mask = random_mask(4, 50'000, keep, 1);
    const double kept = std::accumulate(mask.begin(), mask.end(), 0.0);
    EXPECT_NEAR(kept / 200'000, keep, 0.006);
  }
}

TEST(RandomMask, ZeroKeepsNothingAndOneKeepsAll) {
  EXPECT_EQ(random_mask(3, 77, 0, 1), std::vector<std::uint8_t>(3 * 77, 0));
  EXPECT_EQ(random_mask(3, 77, 1, 1), std::vector<std::uint8_t>(3 * 77, 1));
}

TEST(RandomMask, KeepingMoreKeepsWhatWasKept) {
  const auto few = random_mask(1, 1000, 0.3, 4), many = random_mask(1, 1000, 0.6, 4);
  for (std::size_t k = 0; k < few.size(); ++k) EXPECT_LE(few[k], many[k]);
}

TEST(RandomMask, BatchesDiffer) {
  const auto mask = random_mask(2, 1000, 0.5, 4);
  EXPECT_FALSE(std::equal(mask.begin(), mask.begin() + 1000, mask.begin() + 1000));
}

}  // namespace
}  // namespace flashbench::data

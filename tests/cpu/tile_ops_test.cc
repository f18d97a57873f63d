#include "cpu/tile_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "system/error.h"
#include "tests/cpu/packed_scores.h"
#include "tests/cpu/tile_forms.h"

namespace flashbench::cpu {

namespace {

class TileOpsTest : public testing::TestWithParam<TileOps> {
 protected:
  const TileOps ops = GetParam();
};

TEST_P(TileOpsTest, GemmTailsInEveryDirectionAndBothLayoutsOfA) {
  const GemmCase cases[] = {{1, 1, 1},    {5, 7, 3},    {6, 16, 64},  {12, 32, 17},
                            {13, 33, 65}, {25, 50, 96}, {97, 40, 31}, {2, 130, 5}};
  for (const auto& [m, n, k] : cases)
    for (const bool transposed : {false, true})
      for (const Write write : {Write::kStore, Write::kAdd, Write::kAddShortSums}) {
        const auto a = random_values(m * k, 1), b = random_values(k * n, 2);
        const std::int64_t n_panels = round_up(n, ops.cols), n_c = round_up(n, ops.lanes) + 3;
        std::vector<float> panels(static_cast<std::size_t>(n_panels * k));
        ops.pack_panels({b.data(), Dtype::kF32, n, nullptr}, k, n, panels.data(), 0, k);
        std::vector<float> c(static_cast<std::size_t>(m * n_c), 0.5f);
        const MatrixA ma = transposed ? MatrixA{a.data(), 1, m} : MatrixA{a.data(), k, 1};
        ops.gemm(m, n, k, ma, {panels.data(), ops.cols, k * ops.cols}, {c.data(), n_c}, write, {});
        for (std::int64_t i = 0; i < m; ++i) {
          for (std::int64_t j = 0; j < n; ++j) {
            double want = write == Write::kStore ? 0.0 : 0.5, size = 1;
            for (std::int64_t p = 0; p < k; ++p) {
              const double product =
                  static_cast<double>(
                      a[static_cast<std::size_t>(transposed ? p * m + i : i * k + p)]) *
                  static_cast<double>(b[static_cast<std::size_t>(p * n + j)]);
              want += product;
              size += std::fabs(product);
            }
            ASSERT_NEAR(c[static_cast<std::size_t>(i * n_c + j)], want, 4e-7 * size)
                << m << "x" << n << "x" << k << " transposed " << transposed << " at " << i << ","
                << j;
          }
          // Nothing beyond whole vectors is touched.
          for (std::int64_t j = round_up(n, ops.lanes); j < n_c; ++j)
            ASSERT_EQ(c[static_cast<std::size_t>(i * n_c + j)], 0.5f);
        }
      }
}

TEST_P(TileOpsTest, ProbabilitiesFromRegistersEqualTheStepByStepOnes) {
  for (const auto& [m, n, k] :
       {GemmCase{1, 1, 1}, {6, 64, 8}, {7, 65, 16}, {13, 130, 24}, {30, 33, 5}})
    for (const bool prefixes : {false, true}) {
      const auto a = random_values(m * k, 1), b = random_values(k * n, 2);
      std::vector<float> max = random_values(m, 3);
      for (float& x : max) x += 10;  // no sum is too large
      std::vector<float> panels(static_cast<std::size_t>(round_up(n, ops.cols) * k));
      ops.pack_panels({b.data(), Dtype::kF32, n, nullptr}, k, n, panels.data(), 0, k);
      const MatrixA ma = {a.data(), k, 1};
      const MatrixB mb = {panels.data(), ops.cols, k * ops.cols};
      const std::int64_t stride = round_up(n, ops.lanes);
      std::vector<float> want(static_cast<std::size_t>(m * stride));
      ops.gemm(m, n, k, ma, mb, {want.data(), stride}, Write::kStore, {});
      std::vector<std::int64_t> visible;
      for (std::int64_t i = 0; i < m; ++i) visible.push_back(prefixes ? std::min(n, 3 * i) : n);

      std::vector<float> p(static_cast<std::size_t>(m * stride), NAN);
      std::vector<float> sum(static_cast<std::size_t>(m * ops.lanes), NAN);
      ASSERT_TRUE(ops.gemm_exp2(
          m, n, k, ma, mb, {p.data(), stride},
          {max.data(), sum.data(), 1.0f, {{}, prefixes ? visible : decltype(visible){}}}, {}));
      for (std::int64_t i = 0; i < m; ++i) {
        const auto row = static_cast<std::size_t>(i);
        float* s = &want[row * static_cast<std::size_t>(stride)];
        const float total = ops.row_exp2(s, visible[row], max[row], 1.0f);
        float lanes = 0;
        for (int l = 0; l < ops.lanes; ++l)
          lanes += sum[row * static_cast<std::size_t>(ops.lanes) + static_cast<std::size_t>(l)];
        EXPECT_NEAR(lanes, total, 4e-6f * total);
        for (std::int64_t j = 0; j < stride; ++j)
          ASSERT_EQ(p[row * static_cast<std::size_t>(stride) + static_cast<std::size_t>(j)],
                    j < visible[row] ? s[j] : 0.0f)
              << m << "x" << n << "x" << k << " at " << i << "," << j;
      }
    }
}

TEST_P(TileOpsTest, AMaximumThatIsTooLowIsReported) {
  const std::int64_t n = ops.cols;
  std::vector<float> panel(static_cast<std::size_t>(n), 1.0f), p(panel), sum(16);
  for (const auto& [score, fits] : {std::pair{10.0f, true},
                                    {17.0f, false},
                                    {150.0f, false},  // beyond the exponents of f32 ...
                                    {400.0f, false},  // ... and of its bits, where they would wrap
                                    {700.0f, false},
                                    {1e6f, false},
                                    {std::numeric_limits<float>::quiet_NaN(), false}}) {
    const float zero = 0;
    EXPECT_EQ(ops.gemm_exp2(1, n, 1, {&score, 1, 1}, {panel.data(), n, n}, {p.data(), n},
                            {&zero, sum.data()}, {}),
              fits)
        << score;
  }
}

TEST_P(TileOpsTest, ProductsWithRowsAsTheyLieAgreeForEveryDtypeTailAndPosition) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16})
    for (const std::int64_t m : {1, 3, 4, 9})
      for (const std::int64_t n : {1, 4, 7, 33}) {
        const std::int64_t d = 3 * ops.lanes, stored = 2 * n;
        const auto values = random_values(stored * d, 5), a = random_values(m * d, 6),
                   p = random_values(m * n, 7);
        std::vector<std::byte> rows(static_cast<std::size_t>(stored * d) * size_bytes(dtype));
        ops.row_store(values.data(), stored * d, 1.0f, dtype, rows.data());
        std::vector<float> b(static_cast<std::size_t>(stored * d));  // as rounded
        ops.pack_rows({rows.data(), dtype, d, nullptr}, stored, d, 1.0f, b.data(), d);
        std::vector<std::int32_t> position;
        for (std::int32_t j = 0; j < n; ++j) position.push_back(2 * j + j % 2);
        const RowSource source{rows.data(), dtype, d, position.data()};

        std::vector<float> s(static_cast<std::size_t>(m * (n + 1)), 0.5f);
        ops.dots(m, n, d, {a.data(), d, 1}, source, {s.data(), n + 1}, {});
        std::vector<float> o(static_cast<std::size_t>(m * d), 0.5f);
        ops.add_rows(m, n, d, {p.data(), n, 1}, source, {o.data(), d}, {});
        for (std::int64_t i = 0; i < m; ++i) {
          std::vector<double> sum(static_cast<std::size_t>(d), 0.5);
          for (std::int64_t j = 0; j < n; ++j) {
            const float* row =
                &b[static_cast<std::size_t>(position[static_cast<std::size_t>(j)] * d)];
            double dot = 0;
            for (std::int64_t k = 0; k < d; ++k) {
              const auto at = static_cast<std::size_t>(k);
              dot += double{a[static_cast<std::size_t>(i * d + k)]} * double{row[at]};
              sum[at] += double{p[static_cast<std::size_t>(i * n + j)]} * double{row[at]};
            }
            ASSERT_NEAR(s[static_cast<std::size_t>(i * (n + 1) + j)], dot, 1e-4)
                << name(dtype) << " m " << m << " n " << n;
          }
          ASSERT_EQ(s[static_cast<std::size_t>(i * (n + 1) + n)], 0.5f) << "beyond the last column";
          for (std::int64_t k = 0; k < d; ++k)
            ASSERT_NEAR(o[static_cast<std::size_t>(i * d + k)], sum[static_cast<std::size_t>(k)],
                        1e-4);
        }
      }
}

TEST_P(TileOpsTest, TransposedPanelsHoldTheScaledTransposeOfTheChosenRows) {
  const std::int64_t d = 37, rows = 2 * ops.cols + 1;
  const auto x = random_values(200 * d, 3);
  std::vector<std::int32_t> position;
  for (std::int32_t r = 0; r < rows; ++r) position.push_back(r % 5 == 4 ? -1 : (r * 7) % 200);
  std::vector<float> panels(static_cast<std::size_t>(round_up(rows, ops.cols) * d), NAN);
  ops.pack_panels_transposed({x.data(), Dtype::kF32, d, position.data()}, rows, d, 2.0f,
                             panels.data());
  for (std::int64_t r = 0; r < round_up(rows, ops.cols); ++r)
    for (std::int64_t k = 0; k < d; ++k) {
      const std::int32_t from = r < rows ? position[static_cast<std::size_t>(r)] : -1;
      const float want = from < 0 ? 0.0f : 2.0f * x[static_cast<std::size_t>(from * d + k)];
      EXPECT_EQ(panels[static_cast<std::size_t>(r / ops.cols * ops.cols * d + k * ops.cols +
                                                r % ops.cols)],
                want);
    }
}

TEST_P(TileOpsTest, SixteenBitRowsConvertExactlyBothWays) {
  const std::int64_t d = 67;
  std::mt19937 random(5);
  std::vector<std::uint16_t> bits(static_cast<std::size_t>(d));
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16}) {
    for (auto& x : bits) x = static_cast<std::uint16_t>(random() & 0xf7ff);  // finite
    std::vector<float> row(static_cast<std::size_t>(round_up(d, ops.lanes)));
    ops.pack_rows({bits.data(), dtype, d, nullptr}, 1, d, 1.0f, row.data(), d);
    std::vector<std::uint16_t> back(bits.size());
    ops.row_store(row.data(), d, 1.0f, dtype, back.data());
    for (std::size_t i = 0; i < bits.size(); ++i) {
      EXPECT_EQ(row[i], dtype == Dtype::kBf16 ? to_f32(Bf16{bits[i]}) : to_f32(F16{bits[i]}));
      EXPECT_EQ(back[i], bits[i]);
    }
    for (std::size_t i = bits.size(); i < row.size(); ++i) EXPECT_EQ(row[i], 0.0f);
  }
}

TEST_P(TileOpsTest, Exp2IsWithinAUlpAndAQuarterAndUnbiasedOnItsWholeRange) {
  constexpr std::int64_t kN = 1 << 20;
  std::vector<float> x(kN), y;
  for (std::int64_t i = 0; i < kN; ++i)
    x[static_cast<std::size_t>(i)] = -126.0f + 253.0f * static_cast<float>(i) / kN;
  y = x;
  ops.row_exp2(y.data(), kN, 0.0f, 1.0f);
  double worst = 0, mean = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp2(static_cast<double>(x[i]));
    const double ulp = std::ldexp(1.0, std::ilogb(want) - 23);
    const double off = (static_cast<double>(y[i]) - want) / ulp;
    worst = std::max(worst, std::fabs(off));
    mean += off / kN;
  }
  EXPECT_LE(worst, 1.25);
  EXPECT_LE(std::fabs(mean), 0.05);
}

TEST_P(TileOpsTest, CappedProductsAreWithinAFewUlpOfTanhAndOddAndKeepNan) {
  std::vector<float> x;
  for (int i = 0; i <= 1 << 18; ++i) x.push_back(40.0f * static_cast<float>(i) / (1 << 18));
  for (int e = -140; e < 128; ++e)
    for (const float m : {1.0f, 1.3f, 1.99f}) x.push_back(std::ldexp(m, e));
  x.push_back(std::numeric_limits<float>::infinity());
  const double worst = ops.isa == Isa::kScalar || ops.isa == Isa::kSse4 ? 2.0 : 1.7;  // no FMA
  for (const float sign : {1.0f, -1.0f}) {
    std::vector<float> y(x), slope(x.size());
    for (float& v : y) v *= sign;
    ops.row_score(y.data(), static_cast<std::int64_t>(y.size()), {0.5f}, slope.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = std::tanh(sign * static_cast<double>(x[i]) / 4);
      const double ulp = std::ldexp(1.0, std::max(std::ilogb(want), -126) - 23);
      ASSERT_LE(std::fabs(static_cast<double>(y[i]) - want), worst * ulp) << x[i];
      ASSERT_NEAR(slope[i], 1 - want * want, 0x1p-22) << x[i];
    }
  }
  for (const std::int64_t n : {1, 5, 33}) {
    std::vector<float> bad(static_cast<std::size_t>(n), 1.0f);
    bad.back() = NAN;
    std::vector<float> slope(bad);
    ops.row_score(bad.data(), n, {1.0f}, slope.data());
    EXPECT_TRUE(std::isnan(bad.back()));
    EXPECT_TRUE(std::isnan(slope.back()));
    if (n > 1) {
      EXPECT_NEAR(bad[0], std::tanh(0.5), 1e-7);
    }
  }
}

TEST_P(TileOpsTest, AlibiTakesTheDistanceOfEachKeyFromTheScoreOfARowOfATile) {
  constexpr std::int64_t kM = PackedScores::kM, kN = PackedScores::kN;
  const PackedScores packed(ops);
  const std::int64_t words = packed.words, stride = packed.stride;
  const MatrixA left = packed.left();
  const MatrixB right = packed.right();
  std::vector<float> s(static_cast<std::size_t>(kM * stride)), p(s.size(), NAN);
  ops.gemm(kM, kN, words, left, right, {s.data(), stride}, Write::kStore, {});
  std::vector<float> keys;  // gaps, as padding leaves them
  for (std::int64_t j = 0; j < stride; ++j) keys.push_back(static_cast<float>(3 * j % 50));
  const ScoreRow score = {0, keys.data(), 0.5f, 0.25f, 7};
  const std::vector<float> max(kM, 0.2f);
  std::vector<float> sum(static_cast<std::size_t>(kM * ops.lanes));
  const SoftmaxRows rows = {max.data(), sum.data(), 1.5f, {}, nullptr, score};
  ASSERT_TRUE(ops.gemm_exp2(kM, kN, words, left, right, {p.data(), stride}, rows, {}));
  for (std::int64_t i = 0; i < kM; ++i) {
    double want = 0;
    ScoreRow row = score;
    row.own_key += static_cast<float>(i);
    std::vector<float> copy(s.begin() + i * stride, s.begin() + (i + 1) * stride);
    ops.row_score(copy.data(), kN, row, nullptr);
    for (std::int64_t j = 0; j < kN; ++j) {
      const double distance =
          std::abs(7.0 + static_cast<double>(i) - static_cast<double>(3 * j % 50));
      const double logit =
          0.5 * static_cast<double>(s[static_cast<std::size_t>(i * stride + j)]) - 0.25 * distance;
      ASSERT_NEAR(copy[static_cast<std::size_t>(j)], logit, 1e-5) << i << ", " << j;
      want += std::exp2(1.5 * (logit - 0.2));
    }
    EXPECT_NEAR(ops.row_sum(sum.data() + i * ops.lanes, ops.lanes) / want, 1, 1e-5) << i;
  }
}

// Slopes of what no row sees are left as they were, here NaN: dS must be 0 there.
TEST_P(TileOpsTest, ProductsUnderACapAreThoseOfTheRowOperation) {
  constexpr std::int64_t kM = PackedScores::kM, kN = PackedScores::kN;
  const PackedScores packed(ops);
  const std::int64_t words = packed.words, stride = packed.stride;
  std::vector<float> s(static_cast<std::size_t>(kM * stride)), want_slope(s), slope(s.size(), NAN);
  const MatrixA left = packed.left();
  const MatrixB right = packed.right();
  ops.gemm(kM, kN, words, left, right, {s.data(), stride}, Write::kStore, {});
  ops.row_score(s.data(), kM * stride, {0.7f}, want_slope.data());
  const std::vector<float> max(kM, 0.2f);
  std::vector<std::int64_t> end;
  for (std::int64_t i = 0; i < kM; ++i) end.push_back(std::min(kN, 10 + i));
  std::vector<float> p(s.size(), NAN), sum(static_cast<std::size_t>(kM * ops.lanes));
  SoftmaxRows rows = {
      max.data(), sum.data(), 1.5f, {{}, end}, nullptr, {0.7f}, {slope.data(), stride}};
  ASSERT_TRUE(ops.gemm_exp2(kM, kN, words, left, right, {p.data(), stride}, rows, {}));
  for (std::int64_t i = 0; i < kM; ++i) {
    double want = 0;
    for (std::int64_t j = 0; j < end[static_cast<std::size_t>(i)]; ++j)
      want +=
          std::exp2(1.5 * (static_cast<double>(s[static_cast<std::size_t>(i * stride + j)]) - 0.2));
    EXPECT_NEAR(ops.row_sum(sum.data() + i * ops.lanes, ops.lanes) / want, 1, 1e-5) << i;
  }
  ASSERT_TRUE(ops.gemm_exp2_rows(kM, kN, words, left, right, {p.data(), stride}, rows, {}));
  for (std::int64_t i = 0; i < kM; ++i)
    for (std::int64_t j = 0; j < end[static_cast<std::size_t>(i)]; ++j) {
      const auto at = static_cast<std::size_t>(i * stride + j);
      ASSERT_EQ(slope[at], want_slope[at]) << i << "," << j;
    }
  // dS = P∘(A·B - D)∘slope, of the same products.
  const std::vector<float> delta(kM, 0.3f), low(kM, 0.0f);
  std::vector<float> products(p.size()), ds(p.size(), NAN), ds_rows(p.size(), NAN);
  ops.gemm(kM, kN, words, left, right, {products.data(), stride}, Write::kStore, {});
  ops.gemm_dscores(kM, kN, words, left, right, {ds.data(), stride}, {ds_rows.data(), stride},
                   p.data(), {delta.data(), low.data()}, {{}, end}, {{slope.data(), stride}});
  for (std::int64_t i = 0; i < kM; ++i)
    for (std::int64_t j = 0; j < kN; ++j) {
      const auto at = static_cast<std::size_t>(i * stride + j);
      const bool sees = j < end[static_cast<std::size_t>(i)];
      const float want = sees ? p[at] * (products[at] - 0.3f) * want_slope[at] : 0.0f;
      ASSERT_NEAR(ds_rows[at], want, 1e-5f * std::abs(want)) << i << "," << j;
    }
}

TEST_P(TileOpsTest, Exp2OfHiddenScoresIsZeroAndNanIsNotSwallowed) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const std::int64_t n : {1, 5, 64}) {
    std::vector<float> x(static_cast<std::size_t>(n), -kInf);
    EXPECT_EQ(ops.row_exp2(x.data(), n, 3.0f, 1.0f), 0.0f);
    for (const float v : x) EXPECT_EQ(v, 0.0f);
    std::vector<float> far(static_cast<std::size_t>(n), -1e30f);
    EXPECT_EQ(ops.row_exp2(far.data(), n, 0.0f, 1.0f), 0.0f);
    for (const float score : {129.0f, 200.0f, 400.0f, 1e30f}) {
      std::vector<float> high(static_cast<std::size_t>(n), score);
      EXPECT_EQ(ops.row_exp2(high.data(), n, 0.0f, 1.0f), kInf) << score;
    }
    std::vector<float> bad(static_cast<std::size_t>(n), 1.0f);
    bad.back() = NAN;
    EXPECT_TRUE(std::isnan(ops.row_exp2(bad.data(), n, 0.0f, 1.0f)));
    EXPECT_TRUE(std::isnan(bad.back()));
    std::vector<float> empty_row(static_cast<std::size_t>(n), 2.0f);
    ops.row_exp2(empty_row.data(), n, kInf, 1.0f);  // LSE of a row that saw nothing, backward
    for (const float v : empty_row) EXPECT_EQ(v, 0.0f);
  }
}

TEST_P(TileOpsTest, RowOperationsCoverTheirTails) {
  for (const std::int64_t n : {1, 3, 16, 31, 33, 100}) {
    const auto x = random_values(n, 11), y = random_values(n, 12);
    double dot = 0;
    float max = -std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < x.size(); ++i) {
      dot += static_cast<double>(x[i]) * static_cast<double>(y[i]);
      max = std::max(max, x[i]);
    }
    EXPECT_NEAR(ops.row_dot(x.data(), y.data(), n), dot, 1e-14);
    EXPECT_EQ(ops.row_max(x.data(), n), max);
    auto ds = y;
    ops.row_dscores(ds.data(), x.data(), n, 0.25);
    auto sum = x;
    ops.row_add(sum.data(), y.data(), n);
    ops.row_scale(sum.data(), n, 3.0f);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(ds[i], x[i] * (y[i] - 0.25f), 1e-6);
      EXPECT_EQ(sum[i], (x[i] + y[i]) * 3.0f);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, TileOpsTest, testing::ValuesIn(all_forms(1)),
                         [](const auto& test) { return form_name(test.param); });

TEST(TileOps, TheLevelThatIsChosenRuns) {
  for (const Dtype dtype : kDtypes) {
    const Isa best = best_isa(dtype);
    EXPECT_FALSE(absent(best)) << name(dtype);
    EXPECT_TRUE(best != Isa::kAvx512Bf16 || dtype == Dtype::kBf16) << name(dtype);
  }
}

TEST(TileOps, LevelsThatCannotRunAreRefusedWithTheReason) {
  int refused = 0;
  for (const Isa isa : kIsas) {
    if (!absent(isa)) continue;
    ++refused;
    EXPECT_THROW(tile_ops(isa), UnavailableError) << name(isa);
  }
  EXPECT_GT(refused, 0);  // no processor has both AVX and NEON
  EXPECT_FALSE(absent(Isa::kScalar));
}

}  // namespace
}  // namespace flashbench::cpu

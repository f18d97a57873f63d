// Products of bf16 pairs. The scalar form runs everywhere; the one with AVX512_BF16 where there is
// it.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "tests/cpu/tile_forms.h"

namespace flashbench::cpu {
namespace {

class Bf16OpsTest : public testing::TestWithParam<TileOps> {
 protected:
  const TileOps ops = GetParam();

  std::size_t floats_of_rows(std::int64_t rows, std::int64_t d) const {
    return static_cast<std::size_t>(rows * row_stride(d));
  }
  std::int64_t row_stride(std::int64_t d) const { return round_up(ops.words(d), ops.lanes); }

  /// Rows of x as an A operand, x rounded to what it holds.
  std::vector<float> rows_operand(std::vector<float>& x, std::int64_t rows, std::int64_t d) const {
    for (float& v : x) v = to_f32(to_bf16(v));
    std::vector<float> a(floats_of_rows(rows, d), NAN);
    ops.pack_rows({x.data(), Dtype::kF32, d, nullptr}, rows, d, 1.0f, a.data(), row_stride(d));
    return a;
  }
};

constexpr GemmCase kPairCases[] = {{1, 1, 1},    {5, 7, 3},    {6, 64, 64},  {12, 32, 17},
                                   {13, 33, 65}, {25, 50, 96}, {97, 40, 31}, {2, 130, 5}};

TEST_P(Bf16OpsTest, ProductsOfRowsAreExactButForTheirF32SumAndOddEndsAddNothing) {
  for (const auto& [m, n, k] : kPairCases)
    for (const bool transposed : {false, true})  // B as rows of k, or as columns of it
      for (const Write write : {Write::kStore, Write::kAdd}) {
        auto a = random_values(m * k, 1), b = random_values(n * k, 2);
        const std::vector<float> operand_a = rows_operand(a, m, k);
        for (float& v : b) v = to_f32(to_bf16(v));
        const std::int64_t words = ops.words(k), n_c = round_up(n, ops.lanes) + 3;
        std::vector<float> panels(static_cast<std::size_t>(round_up(n, ops.cols) * words), NAN);
        if (transposed)
          ops.pack_panels_transposed({b.data(), Dtype::kF32, k, nullptr}, n, k, 1.0f,
                                     panels.data());
        else
          ops.pack_panels({b.data(), Dtype::kF32, n, nullptr}, k, n, panels.data(), 0, k);
        std::vector<float> c(static_cast<std::size_t>(m * n_c), 0.5f);
        ops.gemm(m, n, words, {operand_a.data(), row_stride(k), 1},
                 {panels.data(), ops.cols, words * ops.cols}, {c.data(), n_c}, write, {});
        for (std::int64_t i = 0; i < m; ++i)
          for (std::int64_t j = 0; j < n; ++j) {
            double want = write == Write::kAdd ? 0.5 : 0.0, size = 1;
            for (std::int64_t p = 0; p < k; ++p) {
              const double product =
                  double{a[static_cast<std::size_t>(i * k + p)]} *
                  double{b[static_cast<std::size_t>(transposed ? j * k + p : p * n + j)]};
              want += product;
              size += std::fabs(product);
            }
            ASSERT_NEAR(c[static_cast<std::size_t>(i * n_c + j)], want, 4e-7 * size)
                << m << "x" << n << "x" << k << " transposed " << transposed << " at " << i << ","
                << j;
          }
      }
}

TEST_P(Bf16OpsTest, ScoresOfRowsAsTheyLieAgreeForEveryTailAndPositionAndReadNoPairBeyond) {
  for (const std::int64_t vectors : {1, 2, 3, 8, 300})
    for (const auto& [m, n] :
         {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 4}, {4, 7}, {9, 33}}) {
      const std::int64_t d = vectors * ops.lanes, stride = d + ops.lanes;
      auto a = random_values(m * d, 1), b = random_values(2 * n * stride, 2);
      const std::vector<float> operand_a = rows_operand(a, m, d);
      for (std::int64_t i = 0; i < 2 * n * stride; ++i) {
        float& v = b[static_cast<std::size_t>(i)];
        v = i % stride < d ? to_f32(to_bf16(v)) : NAN;
      }
      std::vector<Bf16> stored(b.size());
      ops.row_store(b.data(), std::ssize(b), 1.0f, Dtype::kBf16, stored.data());
      std::vector<std::int32_t> position;
      for (std::int32_t j = 0; j < n; ++j) position.push_back(2 * j + j % 2);
      std::vector<float> c(static_cast<std::size_t>(m * (n + 1)), 0.5f);
      ops.dots(m, n, d, {operand_a.data(), row_stride(d), 1},
               {stored.data(), Dtype::kBf16, stride, position.data()}, {c.data(), n + 1}, {});
      for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          const float* row =
              &b[static_cast<std::size_t>(position[static_cast<std::size_t>(j)] * stride)];
          double want = 0, size = 1;
          for (std::int64_t p = 0; p < d; ++p) {
            const double product = double{a[static_cast<std::size_t>(i * d + p)]} * double{row[p]};
            want += product;
            size += std::fabs(product);
          }
          ASSERT_NEAR(c[static_cast<std::size_t>(i * (n + 1) + j)], want, 4e-7 * size)
              << m << "x" << n << " d " << d;
        }
        ASSERT_EQ(c[static_cast<std::size_t>(i * (n + 1) + n)], 0.5f) << "beyond the last column";
      }
    }
}

TEST_P(Bf16OpsTest, ProbabilitiesAreRoundedToAnOperandAndTheirSumsAreNot) {
  for (const auto& [m, n, k] : kPairCases) {
    auto a = random_values(m * k, 1), b = random_values(n * k, 2);
    const std::vector<float> operand_a = rows_operand(a, m, k);
    const std::int64_t words = ops.words(k), stride = round_up(n, ops.cols);
    std::vector<float> panels(static_cast<std::size_t>(stride * words));
    ops.pack_panels_transposed({b.data(), Dtype::kF32, k, nullptr}, n, k, 1.0f, panels.data());
    const MatrixA ma = {operand_a.data(), row_stride(k), 1};
    const MatrixB mb = {panels.data(), ops.cols, words * ops.cols};
    std::vector<float> s(static_cast<std::size_t>(m * stride)), p(s.size(), NAN);
    ops.gemm(m, n, words, ma, mb, {s.data(), stride}, Write::kStore, {});
    std::vector<float> max(static_cast<std::size_t>(m), 9.0f);
    std::vector<float> sum(static_cast<std::size_t>(m * ops.lanes), NAN);
    std::vector<std::int64_t> visible;
    for (std::int64_t i = 0; i < m; ++i) visible.push_back(std::min(n, 3 * i));
    ASSERT_TRUE(ops.gemm_exp2(m, n, words, ma, mb, {p.data(), stride},
                              {max.data(), sum.data(), 0.5f, {{}, visible}}, {}));
    for (std::int64_t i = 0; i < m; ++i) {
      const auto row = static_cast<std::size_t>(i * stride);
      double total = 0, lanes = 0;
      std::vector<Bf16> got(static_cast<std::size_t>(round_up(n, 2)));
      std::memcpy(got.data(), &p[row], got.size() * sizeof(Bf16));
      for (std::size_t j = 0; j < got.size(); ++j) {
        const bool sees = static_cast<std::int64_t>(j) < visible[static_cast<std::size_t>(i)];
        const double want = sees ? std::exp2(0.5 * (double{s[row + j]} - 9.0)) : 0.0;
        total += want;
        ASSERT_NEAR(double{to_f32(got[j])}, want, 0x1.01p-8 * want) << m << "x" << n << "x" << k;
      }
      for (int l = 0; l < ops.lanes; ++l)
        lanes += double{sum[static_cast<std::size_t>(i * ops.lanes + l)]};
      EXPECT_NEAR(lanes, total, 1e-6 * total);  // rounded ones would be off by up to 4e-3
    }
  }
}

/// Word i of an operand, as its two elements.
std::array<float, 2> elements(float word) {
  const auto bits = std::bit_cast<std::array<Bf16, 2>>(word);
  return {to_f32(bits[0]), to_f32(bits[1])};
}

TEST_P(Bf16OpsTest, ScoresAndTheirGradientServeSumsOverRowsAndOverColumns) {
  for (const auto& [m, n, k] : kPairCases) {
    auto q = random_values(m * k, 1), key = random_values(n * k, 2);
    const std::vector<float> a = rows_operand(q, m, k);
    const std::int64_t words = ops.words(k), stride = round_up(n, ops.cols);
    std::vector<float> panels(static_cast<std::size_t>(stride * words));
    ops.pack_panels_transposed({key.data(), Dtype::kF32, k, nullptr}, n, k, 1.0f, panels.data());
    const MatrixA ma = {a.data(), row_stride(k), 1};
    const MatrixB mb = {panels.data(), ops.cols, words * ops.cols};
    std::vector<float> s(static_cast<std::size_t>(m * stride));
    ops.gemm(m, n, words, ma, mb, {s.data(), stride}, Write::kStore, {});

    std::vector<float> p(static_cast<std::size_t>(ops.words(m) * stride), NAN), ds_rows(p);
    std::vector<float> ds(s.size(), NAN), sum(static_cast<std::size_t>(m * ops.lanes), NAN);
    const std::vector<float> max(static_cast<std::size_t>(m), 9.0f), delta = random_values(m, 4);
    const std::vector<float> low = random_values(m, 5);  // as large, so that its part is seen
    std::vector<std::int64_t> visible;
    std::vector<std::int64_t> begin;
    for (std::int64_t i = 0; i < m; ++i) {
      visible.push_back(std::min(n, 3 * i));
      begin.push_back(std::min(n, std::max<std::int64_t>(0, 3 * i - 40)));
    }
    ASSERT_TRUE(ops.gemm_exp2_rows(m, n, words, ma, mb, {p.data(), stride},
                                   {max.data(), sum.data(), 0.5f, {begin, visible}}, {}));
    ops.gemm_dscores(m, n, words, ma, mb, {ds.data(), stride}, {ds_rows.data(), stride}, p.data(),
                     {delta.data(), low.data()}, {begin, visible}, {});
    for (std::int64_t i = 0; i < round_up(m, 2); ++i)
      for (std::int64_t j = 0; j < round_up(n, 2); ++j) {
        const auto row = static_cast<std::size_t>(i), half = row % 2;
        const auto word = static_cast<std::size_t>(i / 2 * stride + j);
        const bool sees = i < m && j >= begin[row] && j < visible[row];
        const auto at = static_cast<std::size_t>(i * stride + j);
        const double want = sees ? std::exp2(0.5 * (double{s[at]} - 9.0)) : 0.0;
        if (j < n) {
          ASSERT_NEAR(double{elements(p[word])[half]}, want, 0x1.01p-8 * want);
        }
        const double kept = j < n ? double{elements(p[word])[half]} : 0.0;
        const double gradient =
            sees ? kept * (double{s[at]} - double{delta[row]} - double{low[row]}) : 0.0;
        if (j < n) {
          ASSERT_NEAR(double{elements(ds_rows[word])[half]}, gradient,
                      0x1.01p-8 * std::fabs(gradient) + 1e-30)
              << m << "x" << n << "x" << k << " at " << i << "," << j;
        }
        if (i < m) {
          const float pair = ds[static_cast<std::size_t>(i * stride + j / 2)];
          ASSERT_NEAR(double{elements(pair)[static_cast<std::size_t>(j % 2)]}, gradient,
                      0x1.01p-8 * std::fabs(gradient) + 1e-30)
              << m << "x" << n << "x" << k << " at " << i << "," << j;
        }
      }
  }
}

TEST_P(Bf16OpsTest, ARowBecomesAnOperandInPlaceRoundedToNearestEven) {
  for (const std::int64_t n : {1, 2, 15, 16, 17, 33, 100}) {
    auto row = random_values(round_up(n, ops.lanes), 3);
    row[0] = 1.0f + 0x1p-8f;  // a tie: to 1
    const auto want = row;
    ops.row_to_operand(row.data(), n);
    std::vector<Bf16> got(static_cast<std::size_t>(round_up(n, 2)));
    std::memcpy(got.data(), row.data(), got.size() * sizeof(Bf16));
    for (std::size_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(got[i].bits, static_cast<std::int64_t>(i) < n ? to_bf16(want[i]).bits : 0)
          << n << " at " << i;
  }
}

TEST_P(Bf16OpsTest, RowsArePackedByPositionInPairsFromEveryDtype) {
  const std::int64_t d = 37, rows = 2 * ops.cols + 1;
  const auto values = random_values(200 * d, 3);
  std::vector<std::int32_t> position;
  for (std::int32_t r = 0; r < rows; ++r) position.push_back(r % 5 == 4 ? -1 : (r * 7) % 200);
  for (const Dtype dtype : kDtypes) {
    std::vector<std::byte> x(values.size() * size_bytes(dtype));
    ops.row_store(values.data(), 200 * d, 1.0f, dtype, x.data());
    const RowSource source = {x.data(), dtype, d, position.data()};
    const std::int64_t total = 2 + rows;  // behind two rows that are there already
    std::vector<float> panels(static_cast<std::size_t>(round_up(d, ops.cols) * ops.words(total)));
    ops.pack_panels(source, rows, d, panels.data(), 2, total);
    std::vector<Bf16> got(2 * panels.size());
    std::memcpy(got.data(), panels.data(), got.size() * sizeof(Bf16));
    for (std::int64_t r = 0; r < round_up(total, 2); ++r)
      for (std::int64_t c = 0; c < round_up(d, ops.cols); ++c) {
        const bool there =
            r >= 2 && r < total && c < d && position[static_cast<std::size_t>(r - 2)] >= 0;
        const float stored = there ? values[static_cast<std::size_t>(
                                         position[static_cast<std::size_t>(r - 2)] * d + c)]
                                   : 0.0f;
        const Bf16 want = dtype == Dtype::kF16 ? to_bf16(to_f32(to_f16(stored))) : to_bf16(stored);
        const std::int64_t at = c / ops.cols * round_up(total, 2) * ops.cols +
                                r / 2 * 2 * ops.cols + c % ops.cols * 2 + r % 2;
        ASSERT_EQ(got[static_cast<std::size_t>(at)].bits, want.bits)
            << name(dtype) << " " << r << "," << c;
      }
  }
}

TEST_P(Bf16OpsTest, OnlyBf16ProblemsGetThem) {
  EXPECT_EQ(tile_ops(ops.isa, Dtype::kBf16).per_word, ops.isa == Isa::kAvx512Bf16 ? 2 : 1);
  EXPECT_EQ(tile_ops(ops.isa, Dtype::kF16).per_word, 1);
  EXPECT_EQ(tile_ops(ops.isa).per_word, 1);
}

INSTANTIATE_TEST_SUITE_P(Isa, Bf16OpsTest, testing::ValuesIn(all_forms(2)),
                         [](const auto& test) { return form_name(test.param); });

}  // namespace
}  // namespace flashbench::cpu

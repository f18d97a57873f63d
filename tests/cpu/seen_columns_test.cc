// Products over a tile of P of which each query sees a range of the keys.
#include "cpu/seen_columns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/cpu/tile_forms.h"

namespace flashbench::cpu {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

using Ends = std::vector<std::int64_t>;

struct Band {
  Ends begin, end;
  SeenColumns seen() const { return {begin, end}; }
  bool sees(std::int64_t row, std::int64_t column) const {
    const auto i = static_cast<std::size_t>(row);
    return column >= (begin.empty() ? 0 : begin[i]) && column < end[i];
  }
};

/// The diagonal of a causal mask; a window; steps with rows that see nothing.
std::vector<Band> bands(std::int64_t rows, std::int64_t columns) {
  std::vector<Band> all(3);
  for (std::int64_t i = 0; i < rows; ++i) {
    all[0].end.push_back(std::min(columns, i + 1));
    all[1].begin.push_back(std::clamp<std::int64_t>(i - 9, 0, columns));
    all[1].end.push_back(std::clamp<std::int64_t>(i + 4, all[1].begin.back(), columns));
    all[2].begin.push_back(std::min(columns, i / 16 * 32));
    all[2].end.push_back(std::min(columns, i / 16 * 32 + (i % 16 < 8 ? 0 : 20)));
  }
  return all;
}

class SeenColumnsTest : public testing::TestWithParam<TileOps> {
 protected:
  const TileOps ops = GetParam();

  /// The tile's transpose as an operand that is summed over queries: [words(m)][n].
  std::vector<float> summed_over_queries(const std::vector<float>& tile, std::int64_t m,
                                         std::int64_t n) const {
    std::vector<float> transposed(tile.size());
    for (std::int64_t i = 0; i < m * n; ++i)
      transposed[static_cast<std::size_t>(i % n * m + i / n)] = tile[static_cast<std::size_t>(i)];
    const std::int64_t ld = round_up(ops.words(m), ops.lanes);
    std::vector<float> rows(static_cast<std::size_t>(n * ld)), words(rows.size());
    ops.pack_rows({transposed.data(), Dtype::kF32, m, nullptr}, n, m, 1.0f, rows.data(), ld);
    for (std::int64_t i = 0; i < n * ld; ++i)
      words[static_cast<std::size_t>(i % ld * n + i / ld)] = rows[static_cast<std::size_t>(i)];
    return words;
  }

  /// tile[m][n]·x[n][d], or its transpose times x[m][d], added to 0.25.
  std::vector<float> product(const std::vector<float>& tile, std::int64_t m, std::int64_t n,
                             bool transposed, SeenColumns seen, const std::vector<float>& x,
                             std::int64_t d) const {
    const std::int64_t rows = transposed ? n : m, terms = transposed ? m : n;
    const std::int64_t k = ops.words(terms), ld = round_up(ops.words(n), ops.lanes);
    std::vector<float> a(static_cast<std::size_t>(m * ld));
    if (transposed)
      a = summed_over_queries(tile, m, n);
    else
      ops.pack_rows({tile.data(), Dtype::kF32, n, nullptr}, m, n, 1.0f, a.data(), ld);
    std::vector<float> panels(static_cast<std::size_t>(round_up(d, ops.cols) * k));
    ops.pack_panels({x.data(), Dtype::kF32, d, nullptr}, terms, d, panels.data(), 0, terms);
    const std::int64_t stride = round_up(d, ops.lanes);
    std::vector<float> c(static_cast<std::size_t>(rows * stride), 0.25f);
    ops.gemm(rows, d, k,
             transposed ? MatrixA{a.data(), 1, n, seen} : MatrixA{a.data(), ld, 1, seen},
             {panels.data(), ops.cols, k * ops.cols}, {c.data(), stride}, Write::kAdd, {});
    return c;
  }
};

TEST_P(SeenColumnsTest, ProductsThatSkipHiddenPartsEqualThoseThatDoNot) {
  const std::int64_t m = 51, n = 71, d = 24;
  for (const Band& band : bands(m, n))
    for (const bool transposed : {false, true}) {
      std::vector<float> tile = random_values(m * n, 1);
      for (std::int64_t i = 0; i < m * n; ++i)
        if (!band.sees(i / n, i % n)) tile[static_cast<std::size_t>(i)] = 0;
      const auto x = random_values((transposed ? m : n) * d, 2);
      const auto want = product(tile, m, n, transposed, {}, x, d);
      const auto got = product(tile, m, n, transposed, band.seen(), x, d);
      for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5) << i;
    }
}

TEST_P(SeenColumnsTest, WhatNoRowOfARegisterTileSeesIsNotRead) {
  const std::int64_t m = 2 * ops.rows, n = 80, d = ops.cols;
  Band band;
  band.begin.assign(static_cast<std::size_t>(m), 8);
  band.end.assign(static_cast<std::size_t>(m), 40);
  const auto tile = random_values(m * n, 1);
  auto x = random_values(n * d, 2);
  for (std::int64_t key = 0; key < n; ++key)
    if (!band.sees(0, key)) std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(key * d), d, kNaN);
  for (const float c : product(tile, m, n, false, band.seen(), x, d)) ASSERT_TRUE(std::isfinite(c));
}

TEST_P(SeenColumnsTest, QueriesThatSeeNothingOfARegisterTileOfKeysAreNotRead) {
  const std::int64_t blind = 7, m = 50, n = 2 * ops.rows, d = ops.cols;
  Band band;
  band.end.assign(static_cast<std::size_t>(m), n);
  std::fill_n(band.end.begin(), blind, 0);
  auto x = random_values(m * d, 2);
  const std::int64_t whole_words = blind / ops.per_word * ops.per_word;
  std::fill_n(x.begin(), whole_words * d, kNaN);
  for (const float c : product(random_values(m * n, 1), m, n, true, band.seen(), x, d))
    ASSERT_TRUE(std::isfinite(c));
}

/// Of f32; bf16_ops_test.cc has the same of pairs.
class SeenScoresTest : public SeenColumnsTest {};

TEST_P(SeenScoresTest, HiddenPartsOfPAndDsAreZeroWhateverWasThere) {
  const std::int64_t m = 50, n = 150, k = 8;
  const auto a = random_values(m * k, 1), b = random_values(k * n, 2);
  std::vector<float> panels(static_cast<std::size_t>(round_up(n, ops.cols) * k));
  ops.pack_panels({b.data(), Dtype::kF32, n, nullptr}, k, n, panels.data(), 0, k);
  const MatrixB right = {panels.data(), ops.cols, k * ops.cols};
  const std::int64_t stride = round_up(n, ops.lanes);
  const std::vector<float> max(static_cast<std::size_t>(m), 9.0f), low(max.size(), 0.0f);
  for (const Band& band : bands(m, n)) {
    std::vector<float> p(static_cast<std::size_t>(m * stride), kNaN), ds(p);
    std::vector<float> sum(static_cast<std::size_t>(m * ops.lanes), kNaN);
    ASSERT_TRUE(ops.gemm_exp2_rows(m, n, k, {a.data(), k, 1}, right, {p.data(), stride},
                                   {max.data(), sum.data(), 1.0f, band.seen()}, {}));
    ops.gemm_dscores(m, n, k, {a.data(), k, 1}, right, {}, {ds.data(), stride}, p.data(),
                     {max.data(), low.data()}, band.seen(), {});
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < stride; ++j) {
        const auto at = static_cast<std::size_t>(i * stride + j);
        ASSERT_EQ(p[at] > 0, band.sees(i, j)) << i << "," << j;
        ASSERT_EQ(ds[at] != 0, band.sees(i, j)) << i << "," << j;
      }
  }
}

TEST_P(SeenColumnsTest, CountedPairsAreThoseOfTheRegisterTilesAlongTheBand) {
  const std::int64_t m = 96, n = 192;
  const ComputedPairs all = computed_pairs(ops, {}, m, n);
  EXPECT_EQ(all.elements, m * n);
  EXPECT_EQ(all.by_row, m * n);
  EXPECT_EQ(all.by_column, m * n);
  for (const Band& band : bands(m, n)) {
    std::int64_t visible = 0, by_row = 0, by_column = 0;
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) visible += band.sees(i, j);
    // Of a register tile of rows the keys from the first one's begin to the last one's end; of one
    // of keys the queries that end after the first of them and begin before the end; whole words.
    const auto in_words = [&](std::int64_t begin, std::int64_t end) {
      return end <= begin ? 0 : round_up(end, ops.per_word) - begin / ops.per_word * ops.per_word;
    };
    for (std::int64_t i = 0; i < m; i += ops.rows) {
      const std::int64_t rows = std::min<std::int64_t>(ops.rows, m - i);
      const auto first = static_cast<std::size_t>(i), last = static_cast<std::size_t>(i + rows - 1);
      const std::int64_t begin = band.begin.empty() ? 0 : band.begin[first];
      by_row += rows * in_words(begin, band.end[last]);
    }
    for (std::int64_t j = 0; j < n; j += ops.rows) {
      const std::int64_t keys = std::min<std::int64_t>(ops.rows, n - j);
      const auto before = std::count_if(band.end.begin(), band.end.end(),
                                        [&](std::int64_t end) { return end <= j; });
      const auto later = std::count_if(band.begin.begin(), band.begin.end(),
                                       [&](std::int64_t begin) { return begin >= j + keys; });
      by_column += keys * in_words(before, m - later);
    }
    const ComputedPairs some = computed_pairs(ops, band.seen(), m, n);
    EXPECT_EQ(some.by_row, by_row);
    EXPECT_EQ(some.by_column, by_column);
    for (const std::int64_t pairs : {some.elements, some.by_row, some.by_column}) {
      EXPECT_GE(pairs, visible);
      EXPECT_LT(pairs, m * n);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, SeenScoresTest, testing::ValuesIn(all_forms(1)), name_of);
INSTANTIATE_TEST_SUITE_P(Levels, SeenColumnsTest, testing::ValuesIn(forms_of_both_operands()),
                         name_of);

}  // namespace
}  // namespace flashbench::cpu

#include "core/visibility.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>

#include "core/work.h"

namespace flashbench {
namespace {

constexpr std::int32_t kNo = Visible::kNoLimit;

struct MaskCase {
  const char* guards_against;
  std::int32_t q_len, kv_len;
  std::int32_t behind = kNo, ahead = kNo;
  double keep = 1.0;
};

constexpr MaskCase kCases[] = {
    {"square_causal_off_by_one", 9, 9, kNo, 0},
    {"more_keys_aligned_at_the_bottom", 3, 10, kNo, 0},
    {"more_queries_leave_empty_rows", 10, 3, kNo, 0},
    {"padding_alone", 5, 17, kNo, kNo, 0.5},
    {"padding_and_causal", 11, 17, kNo, 0, 0.5},
    {"nothing_kept", 4, 6, kNo, 0, 0.0},
    {"one_query", 1, 12, kNo, 0, 0.7},
    {"keys_that_do_not_start_at_0", 9, 9, 2, 0},
    {"a_window_of_one_key", 7, 7, 0, 0},
    {"a_window_on_both_sides", 9, 14, 3, 2},
    {"a_window_without_an_end", 9, 9, 2, kNo},
    {"a_window_that_leaves_keys_unseen", 2, 20, 3, 0},
    {"a_window_and_empty_rows", 12, 5, 2, 0},
    {"a_window_with_padding", 11, 17, 4, 0, 0.5},
    {"a_window_that_padding_empties", 11, 17, 1, 0, 0.2},
};

class VisibilityTest : public testing::TestWithParam<MaskCase> {
 protected:
  Visible visible() const {
    const MaskCase& c = GetParam();
    return {c.q_len, c.kv_len, c.kv_len - c.q_len, c.behind, c.ahead};
  }
  /// The definition, pair by pair.
  bool in_band(std::int64_t q, std::int64_t k) const {
    const MaskCase& c = GetParam();
    const std::int64_t own = q + c.kv_len - c.q_len;
    return (c.behind == kNo || k >= own - c.behind) && (c.ahead == kNo || k <= own + c.ahead);
  }
};

TEST_P(VisibilityTest, AProblemIsTakenAtItsWord) {
  const MaskCase& c = GetParam();
  for (const bool causal : {false, true}) {
    if (causal && c.ahead > 0) continue;  // which contradict each other
    Problem p;
    p.shape = {.b = 1, .h = 1, .h_kv = 1, .q_len = c.q_len, .kv_len = c.kv_len, .d = 1};
    p.causal = causal;
    if (c.behind != kNo) p.window_left = c.behind;
    if (c.ahead != kNo) p.window_right = c.ahead;
    const Visible v = visible_of(p);
    for (std::int32_t q = 0; q < c.q_len; ++q)
      for (std::int32_t k = 0; k < c.kv_len; ++k)
        EXPECT_EQ(v.keys(q).holds(k), in_band(q, k) && (!causal || k <= q + c.kv_len - c.q_len))
            << q << ' ' << k;
  }
}

TEST_P(VisibilityTest, RangesEqualTheLiteralDefinition) {
  const MaskCase& c = GetParam();
  const Visible v = visible();
  for (std::int32_t q = 0; q < c.q_len; ++q)
    for (std::int32_t k = 0; k < c.kv_len; ++k) {
      EXPECT_EQ(v.keys(q).holds(k), in_band(q, k)) << q << ' ' << k;
      EXPECT_EQ(v.queries(k).holds(q), in_band(q, k)) << q << ' ' << k;
    }
}

TEST_P(VisibilityTest, NeitherEndEverFalls) {
  const MaskCase& c = GetParam();
  const Visible v = visible();
  for (std::int32_t q = 1; q < c.q_len; ++q) {
    EXPECT_GE(v.keys(q).begin, v.keys(q - 1).begin);
    EXPECT_GE(v.keys(q).end, v.keys(q - 1).end);
  }
  for (std::int32_t k = 1; k < c.kv_len; ++k) {
    EXPECT_GE(v.queries(k).begin, v.queries(k - 1).begin);
    EXPECT_GE(v.queries(k).end, v.queries(k - 1).end);
  }
}

TEST_P(VisibilityTest, ATileThatIsCalledFullOrEmptyIs) {
  const MaskCase& c = GetParam();
  const Visible v = visible();
  for (const std::int32_t rows : {1, 2, 4})
    for (const std::int32_t columns : {1, 3})
      for (std::int32_t q = 0; q + rows <= c.q_len; ++q)
        for (std::int32_t k = 0; k + columns <= c.kv_len; ++k) {
          int count = 0;
          for (std::int32_t i = q; i < q + rows; ++i)
            for (std::int32_t j = k; j < k + columns; ++j) count += in_band(i, j) ? 1 : 0;
          const TileCover cover = v.cover(q, rows, k, columns);
          EXPECT_EQ(cover == TileCover::kFull, count == rows * columns);
          EXPECT_TRUE(cover != TileCover::kEmpty || count == 0);
          EXPECT_TRUE(cover == TileCover::kEmpty || count > 0 || rows > 1);
        }
}

TEST_P(VisibilityTest, ABlockOfALongerSequenceSeesWhatTheSequenceDoes) {
  const MaskCase& c = GetParam();
  const std::int32_t q0 = c.q_len > 2 ? 1 : 0, k0 = c.kv_len > 3 ? 2 : 0;
  const Visible block = visible().block(q0, c.q_len - q0, k0, c.kv_len - k0 - 1);
  for (std::int32_t q = 0; q < block.q_len; ++q)
    for (std::int32_t k = 0; k < block.kv_len; ++k) {
      EXPECT_EQ(block.keys(q).holds(k), in_band(q + q0, k + k0)) << q << ' ' << k;
      EXPECT_EQ(block.queries(k).holds(q), in_band(q + q0, k + k0)) << q << ' ' << k;
    }
}

TEST_P(VisibilityTest, NumbersOfKeptKeysEqualTheLiteralDefinition) {
  const MaskCase& c = GetParam();
  std::mt19937 random(7);
  std::vector<std::uint8_t> mask;
  if (c.keep < 1.0)
    for (std::int64_t k = 0; k < c.kv_len; ++k)
      mask.push_back(std::bernoulli_distribution(c.keep)(random) ? 1 : 0);
  const Visibility v(mask, visible());
  const auto sees = [&](std::int64_t q, std::int64_t k) {
    return (mask.empty() || mask[static_cast<std::size_t>(k)] != 0) && in_band(q, k);
  };
  for (std::int64_t q = 0; q < c.q_len; ++q) {
    std::vector<std::int64_t> expected, got;
    for (std::int64_t k = 0; k < c.kv_len; ++k)
      if (sees(q, k)) expected.push_back(k);
    for (std::int64_t i = v.keys(q).begin; i < v.keys(q).end; ++i)
      got.push_back(v.kept().rows().row(i));
    EXPECT_EQ(got, expected) << "q = " << q;
  }
  for (std::int64_t i = 0; i < v.kept().count(); ++i) {
    const std::int64_t key = v.kept().rows().row(i);
    EXPECT_TRUE(v.kept().holds(key));
    EXPECT_EQ(v.kept().before(key), i);
    for (std::int64_t q = 0; q < c.q_len; ++q)
      EXPECT_EQ(v.queries(i).holds(q), sees(q, key)) << "kept key " << i << ", q = " << q;
  }
}

Problem unpadded(std::int64_t q_len, std::int64_t kv_len, bool causal, int left, int right) {
  Problem p;
  p.shape = {.b = 2, .h = 6, .h_kv = 3, .q_len = q_len, .kv_len = kv_len, .d = 1};
  p.causal = causal;
  if (left >= 0) p.window_left = left;
  if (right >= 0) p.window_right = right;
  return p;
}

/// Of one head, pair by pair, as the flags say it.
VisibleCount literal_count(const Problem& p) {
  VisibleCount count;
  const std::int64_t n = p.shape.q_len, m = p.shape.kv_len;
  for (std::int64_t k = 0; k < m; ++k) {
    int seen = 0;
    for (std::int64_t q = 0; q < n; ++q) {
      const std::int64_t own = q + m - n;
      seen += (!p.causal || k <= own) && (!p.window_left || k >= own - *p.window_left) &&
              (!p.window_right || k <= own + *p.window_right);
    }
    count.pairs += seen;
    count.kv_rows += std::min(seen, 1);
  }
  return count;
}

TEST(Visible, PairsOfEverySmallBandEqualTheLiteralSum) {
  for (int q_len = 1; q_len <= 9; ++q_len)
    for (int kv_len = 1; kv_len <= 9; ++kv_len)
      for (int left = -1; left <= 10; ++left)
        for (int right = -1; right <= 10; ++right)
          for (const bool causal : {false, true}) {
            if (causal && right > 0) continue;  // which contradict each other
            const Problem p = unpadded(q_len, kv_len, causal, left, right);
            const VisibleCount literal = literal_count(p), count = count_visible(p, {});
            ASSERT_EQ(static_cast<double>(visible_of(p).pairs()), literal.pairs)
                << q_len << 'x' << kv_len << ' ' << left << ' ' << right << ' ' << causal;
            ASSERT_EQ(count.pairs, 2 * 6 * literal.pairs);
            ASSERT_EQ(count.kv_rows, 2 * 3 * literal.kv_rows);
            const std::vector<std::uint8_t> all_kept(static_cast<std::size_t>(2 * kv_len), 1);
            ASSERT_EQ(count_visible(p, all_kept).pairs, count.pairs);
            ASSERT_EQ(count_visible(p, all_kept).kv_rows, count.kv_rows);
          }
}

// A block of a longer sequence may lie beside the diagonal.
TEST(Visible, PairsOfBlocksAreThoseOfTheirQueries) {
  for (int diagonal = -14; diagonal <= 14; ++diagonal)
    for (int behind = -1; behind <= 4; ++behind)
      for (int ahead = -1; ahead <= 4; ++ahead) {
        const Visible v = {5, 7, diagonal, behind, ahead};
        std::int64_t pairs = 0;
        for (std::int32_t q = 0; q < v.q_len; ++q) pairs += v.keys(q).size();
        EXPECT_EQ(v.pairs(), pairs) << diagonal << ' ' << behind << ' ' << ahead;
      }
}

TEST(Visible, PairsOfTheLongestSequencesFit64Bits) {
  constexpr std::int64_t kMost = 0x7fffffff;
  EXPECT_EQ(visible_of(unpadded(kMost, kMost, false, -1, -1)).pairs(), kMost * kMost);
  EXPECT_EQ(visible_of(unpadded(kMost, kMost, true, -1, -1)).pairs(), kMost * (kMost + 1) / 2);
  EXPECT_EQ(visible_of(unpadded(kMost, 1, true, -1, -1)).pairs(), 1);
  EXPECT_EQ(visible_of(unpadded(1, kMost, true, -1, -1)).pairs(), kMost);
  constexpr std::int64_t kHalf = 1 << 30;
  EXPECT_EQ(visible_of(unpadded(kHalf, kHalf, true, 9, -1)).pairs(), 10 * kHalf - 45);
  EXPECT_EQ(visible_of(unpadded(kHalf, kHalf, false, 9, 9)).pairs(), 19 * kHalf - 90);
}

// The sums of positions and windows must stay within 32 bits.
TEST(Visible, TheWidestWindowsHideNothing) {
  Problem p;
  p.shape = {.b = 1, .h = 1, .h_kv = 1, .q_len = 1 << 30, .kv_len = 1 << 20, .d = 1};
  p.window_left = p.window_right = 0x7fffffff;
  const Visible v = visible_of(p);
  for (const std::int32_t q : {0, 1 << 29, (1 << 30) - 1})
    EXPECT_EQ(v.keys(q), (KeyRange{0, 1 << 20}));
  p.window_left = (1 << 20) - 1, p.window_right = (1 << 30) - 1;
  EXPECT_EQ(visible_of(p).keys(0), (KeyRange{0, 1 << 20}));
  p.window_right = (1 << 30) - 2;
  EXPECT_EQ(visible_of(p).keys(0), (KeyRange{0, (1 << 20) - 1}));
  EXPECT_EQ(visible_of(p).keys(1), (KeyRange{0, 1 << 20}));
}

INSTANTIATE_TEST_SUITE_P(All, VisibilityTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.guards_against; });

TEST(Visibility, AKeyThatNobodySeesHasNoNumberSoThatItsNaNIsNeverLoaded) {
  const Visibility v({}, Visible{2, 20, 18, 3, 0});
  EXPECT_EQ(v.kept().count(), 5);
  EXPECT_EQ(v.kept().rows().row(0), 15);
  EXPECT_EQ(v.keys(0), (KeyRange{0, 4}));
  EXPECT_EQ(v.keys(1), (KeyRange{1, 5}));
}

}  // namespace
}  // namespace flashbench

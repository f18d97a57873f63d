// What tile operations do for a bias and its gradient.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "tests/cpu/packed_scores.h"
#include "tests/cpu/tile_forms.h"

namespace flashbench::cpu {
namespace {

class BiasOpsTest : public testing::TestWithParam<TileOps> {
 protected:
  static constexpr std::int64_t kM = PackedScores::kM, kN = PackedScores::kN;

  const TileOps ops = GetParam();
  const PackedScores packed{ops};
  const std::int64_t stride = packed.stride;
  const std::vector<float> max = std::vector<float>(kM, 0.2f);
  std::vector<float> sum = std::vector<float>(static_cast<std::size_t>(kM * ops.lanes));
  std::vector<std::int64_t> end;  ///< what a row sees

  BiasOpsTest() {
    for (std::int64_t i = 0; i < kM; ++i) end.push_back(std::min(kN, 10 + i));
  }
  std::vector<float> tile(float value) const {
    return std::vector<float>(static_cast<std::size_t>(kM * stride), value);
  }
  std::vector<float> products() const {
    std::vector<float> s = tile(0);
    ops.gemm(kM, kN, packed.words, packed.left(), packed.right(), {s.data(), stride}, Write::kStore,
             {});
    return s;
  }
  /// NaN where a row sees nothing, -inf here and there.
  std::vector<float> bias() const {
    std::vector<float> values = random_values(kM * stride, 23);
    for (std::int64_t n = 0; n < kM * stride; ++n) {
      float& x = values[static_cast<std::size_t>(n)];
      if (n % 5 == 2) x = -std::numeric_limits<float>::infinity();
      if (n % stride >= end[static_cast<std::size_t>(n / stride)]) x = NAN;
    }
    return values;
  }
};

TEST_P(BiasOpsTest, EachElementIsAddedToItsOwnScoreWithAlibiAndWithout) {
  const std::vector<float> s = products(), added = bias();
  std::vector<float> keys;
  for (std::int64_t j = 0; j < stride; ++j) keys.push_back(static_cast<float>(3 * j % 50));
  for (const float* positions : {static_cast<const float*>(nullptr), std::as_const(keys).data()}) {
    const ScoreRow score = {0, positions, 0.5f, 0.25f, 7, {added.data(), stride}};
    std::vector<float> p = tile(NAN);
    const SoftmaxRows rows = {max.data(), sum.data(), 1.5f, {{}, end}, nullptr, score};
    ASSERT_TRUE(ops.gemm_exp2(kM, kN, packed.words, packed.left(), packed.right(),
                              {p.data(), stride}, rows, {}));
    for (std::int64_t i = 0; i < kM; ++i) {
      std::vector<float> row(s.begin() + i * stride, s.begin() + (i + 1) * stride);
      ops.row_score(row.data(), kN, score.at(i, 0), nullptr);
      double want = 0;
      for (std::int64_t j = 0; j < end[static_cast<std::size_t>(i)]; ++j) {
        const auto at = static_cast<std::size_t>(i * stride + j);
        const double distance =
            std::abs(7.0 + static_cast<double>(i) - static_cast<double>(3 * j % 50));
        const double logit = 0.5 * static_cast<double>(s[at]) -
                             (positions == nullptr ? 0 : 0.25 * distance) +
                             static_cast<double>(added[at]);
        const auto got = static_cast<double>(row[static_cast<std::size_t>(j)]);
        ASSERT_TRUE(got == logit || std::abs(got - logit) < 1e-5) << i << ", " << j;
        want += std::exp2(1.5 * (logit - 0.2));
      }
      EXPECT_NEAR(ops.row_sum(sum.data() + i * ops.lanes, ops.lanes) / want, 1, 1e-5) << i;
    }
  }
}

// The gradient of a bias is dS in f32 as it is before the slope, whatever operands and slope make
// of it.
TEST_P(BiasOpsTest, DscoresAreKeptAsTheyAreBeforeSlopeAndRounding) {
  const std::vector<float> added = bias(), delta(kM, 0.3f), low(kM, 0.0f);
  std::vector<float> p = tile(NAN), slope = tile(NAN);
  const ScoreRow score = {.cap = 0.7f, .bias = {added.data(), stride}};
  const SoftmaxRows rows = {
      max.data(), sum.data(), 1.5f, {{}, end}, nullptr, score, {slope.data(), stride}};
  ASSERT_TRUE(ops.gemm_exp2_rows(kM, kN, packed.words, packed.left(), packed.right(),
                                 {p.data(), stride}, rows, {}));
  const auto dscores = [&](DscoresSlope of_ds) {
    std::vector<float> ds = tile(NAN), ds_rows = tile(NAN);
    ops.gemm_dscores(kM, kN, packed.words, packed.left(), packed.right(), {ds.data(), stride},
                     {ds_rows.data(), stride}, p.data(), {delta.data(), low.data()}, {{}, end},
                     of_ds);
    return ops.per_word == 1 ? ds_rows : ds;
  };
  std::vector<float> before = tile(NAN), with_slope = tile(NAN);
  const std::vector<float> unsloped = dscores({});
  const std::vector<float> kept = dscores({{}, {before.data(), stride}});
  dscores({{slope.data(), stride}, {with_slope.data(), stride}});
  for (std::int64_t i = 0; i < kM; ++i) {
    const std::int64_t seen = end[static_cast<std::size_t>(i)];
    const auto size = static_cast<std::size_t>(seen / ops.per_word) * sizeof(float);
    ASSERT_EQ(std::memcmp(&unsloped[static_cast<std::size_t>(i * stride)],
                          &kept[static_cast<std::size_t>(i * stride)], size),
              0);
    std::vector<float> as_operand(before.begin() + i * stride, before.begin() + (i + 1) * stride);
    ops.row_to_operand(as_operand.data(), seen);
    ASSERT_EQ(std::memcmp(as_operand.data(), &kept[static_cast<std::size_t>(i * stride)], size), 0)
        << i;
    for (std::int64_t j = 0; j < seen; ++j) {
      const auto at = static_cast<std::size_t>(i * stride + j);
      ASSERT_EQ(before[at], with_slope[at]) << i << ", " << j;
      ASSERT_EQ(before[at] == 0, std::isinf(added[at])) << i << ", " << j;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, BiasOpsTest, testing::ValuesIn(forms_of_both_operands()), name_of);

}  // namespace
}  // namespace flashbench::cpu

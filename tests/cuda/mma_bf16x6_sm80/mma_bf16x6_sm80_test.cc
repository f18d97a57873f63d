// mma_bf16x6_sm80 as compiled, on the emulated device against the fp64 oracle, with the noise of
// split operands: every padded head dimension, several orders of warps and of asynchronous copies.
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

// Tiles have 64 or 128 rows and 16 or 32 columns; d is replaced.
constexpr AttentionCase kCases[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 0}},
    {"ragged_rows_and_columns", {1, 2, 1, 65, 130, 0}, true},
    {"rows_that_see_nothing", {1, 4, 2, 70, 33, 0}, true},
    {"padding_and_group_of_four", {2, 4, 1, 35, 90, 0}, false, 0.5},
    {"padding_and_causal", {2, 2, 2, 75, 95, 0}, true, 0.5},
};
constexpr AttentionCase kMoreCases[] = {
    {"three_blocks_of_queries", {1, 1, 1, 260, 33, 0}},
    {"three_blocks_of_keys", {1, 1, 1, 33, 260, 0}, true},
    {"group_of_eight", {1, 8, 1, 130, 90, 0}, true, 0.7},
    {"many_tiles", {1, 1, 1, 70, 1100, 0}, true},
};

Problem split_problem(const AttentionCase& c, std::int64_t d) {
  Problem p = c.with_d(d).problem(Dtype::kF32);
  p.f32_math = F32Math::kBf16x6;
  return p;
}

void expect_right(const Problem& p, std::uint64_t seed, const std::string& what) {
  const EmulatedRun run(mma_bf16x6_sm80::kFamily, p, seed);
  EXPECT_EQ(run.findings_text(), "") << what;
  EXPECT_EQ(run.wrong(), "") << what;
  EXPECT_EQ(run.matrix_flop(), run.flop_executed()) << what;
}

class Bf16x6Test : public NeedsKernels, public testing::WithParamInterface<int> {};
class FullBf16x6Test : public Bf16x6Test {};
class Bf16x6 : public NeedsKernels {};

TEST_P(Bf16x6Test, EveryCaseIsWithinItsNoise) {
  std::uint64_t seed = 0;
  for (const AttentionCase& c : kCases)
    expect_right(split_problem(c, GetParam()), ++seed, c.guards_against);
}

TEST_P(FullBf16x6Test, EveryCaseIsWithinItsNoiseInSeveralOrders) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    for (const AttentionCase& c : kCases)
      expect_right(split_problem(c, GetParam()), seed, c.guards_against);
    for (const AttentionCase& c : kMoreCases)
      expect_right(split_problem(c, GetParam()), seed, c.guards_against);
  }
}

TEST_P(FullBf16x6Test, RealTensorsAreWithinTheirNoise) {
  for (const Values values : kEnumerators<Values>) {
    Problem p = split_problem(kCases[1], GetParam());
    p.values = values;
    expect_right(p, 1, std::string(name(values)));
  }
}

// The padded sizes, one that fills no 16 bytes, and one that leaves whole chunks empty.
INSTANTIATE_TEST_SUITE_P(HeadDim, Bf16x6Test, testing::Values(7, 64, 128),
                         [](const auto& d) { return fmt::format("d{}", d.param); });
INSTANTIATE_TEST_SUITE_P(FullHeadDim, FullBf16x6Test,
                         testing::Values(1, 5, 32, 40, 64, 80, 96, 111, 128),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

TEST_F(Bf16x6, AnyScaleIsWithinItsNoise) {
  for (const double scale : {-0.5, 0.0, 1e8, -1e30}) {
    Problem p = split_problem(kCases[2], 64);
    p.scale = scale;
    expect_right(p, 1, fmt::format("scale {}", scale));
  }
}

TEST_F(Bf16x6, TilesBeforeAWindowAreLeftOut) {
  Problem p = split_problem(kCases[1], 64);
  p.window_left = 30;
  expect_right(p, 1, "window");
}

TEST_F(Bf16x6, HiddenKeysMayHoldNaN) {
  const EmulatedRun run(mma_bf16x6_sm80::kFamily, split_problem(kCases[4], 40), 1,
                        {.nan_in_hidden_keys = true});
  EXPECT_EQ(run.findings_text(), "");
  EXPECT_EQ(run.wrong(), "");
}

TEST_F(Bf16x6, ResultsAreBitwiseEqualInEveryOrder) {
  const Problem p = split_problem(kCases[3], 96);
  const EmulatedRun first(mma_bf16x6_sm80::kFamily, p, 1);
  for (std::uint64_t seed = 2; seed <= 3; ++seed)
    EXPECT_TRUE(first.same_bits_as(EmulatedRun(mma_bf16x6_sm80::kFamily, p, seed))) << seed;
}

TEST(Bf16x6Layout, EveryHeadDimensionFitsTheSmallestSharedMemory) {
  for (std::int64_t d = 1; d <= 128; ++d)
    EXPECT_LE(mma_bf16x6_sm80::shared_bytes(Pass::kBoth, d), 99u * 1024) << d;
}

}  // namespace
}  // namespace flashbench::cuda

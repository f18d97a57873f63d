// mma_sm80 as compiled, on the emulated device against the fp64 oracle: every padded head
// dimension, both dtypes, several orders of warps and of asynchronous copies.
#include "cuda/mma_sm80/mma_sm80.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

// Tiles have 64 or 128 rows and 16 to 64 columns; an odd number of tiles finds what an even one
// hides. d is replaced.
constexpr AttentionCase kCases[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 0}},
    {"ragged_rows_and_columns", {1, 2, 1, 65, 130, 0}, true},
    {"three_blocks_of_queries", {1, 1, 1, 260, 33, 0}},
    {"three_blocks_of_keys", {1, 1, 1, 33, 260, 0}, true},
    {"rows_that_see_nothing", {1, 4, 2, 140, 33, 0}, true},
    {"padding_and_group_of_four", {2, 4, 1, 70, 200, 0}, false, 0.5},
    {"padding_and_causal", {2, 2, 2, 150, 190, 0}, true, 0.5},
};

void expect_right(const Problem& p, std::uint64_t seed, const std::string& what) {
  const EmulatedRun run(mma_sm80::kFamily, p, seed);
  EXPECT_EQ(run.findings_text(), "") << what;
  EXPECT_EQ(run.wrong(), "") << what;
}

class MmaSm80Test : public NeedsKernels, public testing::WithParamInterface<int> {};
class MmaSm80 : public NeedsKernels {};

TEST_P(MmaSm80Test, EveryCaseIsWithinItsNoise) {
  std::uint64_t seed = 0;
  for (const AttentionCase& c : kCases)
    for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16})
      expect_right(c.with_d(GetParam()).problem(dtype), ++seed,
                   fmt::format("{} {}", c.guards_against, name(dtype)));
}

TEST_P(MmaSm80Test, AnyScaleIsWithinItsNoise) {
  for (const double scale : {-0.5, 0.0, 2.0}) {
    Problem p = kCases[1].with_d(GetParam()).problem(Dtype::kBf16);
    p.scale = scale;
    expect_right(p, 1, fmt::format("scale {}", scale));
  }
}

// All that a general kernel does, at once, with values narrower and wider than Q and K.
TEST_P(MmaSm80Test, EveryVariantIsWithinItsNoise) {
  Problem p = kCases[6].with_d(GetParam()).problem(Dtype::kBf16);
  p.softcap = 2;
  p.alibi = Alibi::kStandard;
  p.sinks = Sinks::kRandom;
  p.shape.own_d_v = GetParam() / 2 + 1;
  expect_right(p, 1, "narrow values");
  p.shape.d = GetParam() / 2 + 1;
  p.shape.own_d_v = GetParam();
  expect_right(p, 2, "wide values");
}

// The padded sizes, one that fills no 16 bytes, and one that leaves whole chunks empty.
INSTANTIATE_TEST_SUITE_P(HeadDim, MmaSm80Test,
                         testing::Values(1, 32, 40, 64, 80, 96, 111, 128, 160, 192, 256),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

TEST_F(MmaSm80, HiddenKeysMayHoldNaN) {
  for (const int d : {64, 256}) {
    const Problem p = kCases[6].with_d(d).problem(Dtype::kF16);
    const EmulatedRun run(mma_sm80::kFamily, p, 1, {.nan_in_hidden_keys = true});
    EXPECT_EQ(run.findings_text(), "");
    EXPECT_EQ(run.wrong(), "");
  }
}

TEST_F(MmaSm80, GradientsAreBitwiseEqualInEveryOrder) {
  Problem p = kCases[5].with_d(96).problem(Dtype::kBf16);
  p.sinks = Sinks::kRandom;
  const EmulatedRun a(mma_sm80::kFamily, p, 1), b(mma_sm80::kFamily, p, 2);
  EXPECT_TRUE(a.same_bits_as(b));
}

TEST(MmaSm80Layout, EveryHeadDimensionFitsTheSmallestSharedMemory) {
  for (std::int64_t d = 1; d <= 512; ++d)
    EXPECT_LE(mma_sm80::shared_bytes(Pass::kBoth, d), 99u * 1024) << d;
}

}  // namespace
}  // namespace flashbench::cuda

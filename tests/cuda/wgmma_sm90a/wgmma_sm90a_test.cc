// wgmma_sm90a as compiled, on the emulated device against the fp64 oracle: every padded head
// dimension, both dtypes, several orders of warps and of asynchronous copies.
#include "cuda/wgmma_sm90a/wgmma_sm90a.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <span>

#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

// Tiles have 128 or 192 rows and 64 to 160 columns, and four CTAs work: two blocks or more for one
// of them, an odd number of tiles, fewer and more than there are stages. d is replaced.
constexpr AttentionCase kCases[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 0}},
    {"ragged_rows_and_columns", {1, 2, 1, 65, 130, 0}, true},
    {"several_blocks_for_a_cta", {1, 3, 1, 700, 33, 0}},
    {"blocks_of_different_length", {1, 2, 1, 600, 610, 0}, true},
    {"rows_that_see_nothing", {1, 4, 2, 340, 133, 0}, true},
    {"more_tiles_than_stages", {2, 1, 1, 20, 700, 0}},
    {"padding_and_group_of_four", {2, 4, 1, 70, 200, 0}, false, 0.5},
    {"padding_and_causal", {2, 2, 2, 150, 390, 0}, true, 0.5},
    {"padding_keeps_nothing", {2, 1, 1, 9, 20, 0}, false, 0.0},
};
constexpr const AttentionCase& kManyTiles = kCases[3];

// Beyond d = 256 tiles have 64 rows and 64 or 80 columns, and one stage. Fewer and shorter: every
// pair is several times the work.
constexpr AttentionCase kWideCases[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 0}},
    {"ragged_rows_and_columns", {1, 2, 1, 65, 130, 0}, true},
    {"several_blocks_for_a_cta", {1, 3, 1, 130, 33, 0}},
    {"rows_that_see_nothing", {1, 2, 1, 150, 67, 0}, true},
    {"more_tiles_than_stages", {1, 1, 1, 20, 400, 0}},
    {"padding_and_group_of_four", {2, 4, 1, 30, 190, 0}, false, 0.5},
    {"padding_and_causal", {1, 2, 2, 100, 250, 0}, true, 0.5},
    {"padding_keeps_nothing", {2, 1, 1, 9, 20, 0}, false, 0.0},
};
constexpr const AttentionCase& kWideTiles = kWideCases[6];

std::span<const AttentionCase> cases_of(int d) {
  if (d <= 256) return kCases;
  return kWideCases;
}

void expect_right(const Problem& p, std::uint64_t seed, const std::string& what) {
  const EmulatedRun run(wgmma_sm90a::kFamily, p, seed, {.nan_in_hidden_keys = true});
  EXPECT_EQ(run.findings_text(), "") << what;
  EXPECT_EQ(run.wrong(), "") << what;
}

class WgmmaSm90aTest : public NeedsKernels, public testing::WithParamInterface<int> {};
class WgmmaSm90a : public NeedsKernels {};

TEST_P(WgmmaSm90aTest, EveryCaseIsWithinItsNoise) {
  std::uint64_t seed = 0;
  for (const AttentionCase& c : cases_of(GetParam()))
    for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16})
      expect_right(c.with_d(GetParam()).problem(dtype, Pass::kForward), ++seed,
                   fmt::format("{} {}", c.guards_against, name(dtype)));
}

// Large logits: maxima rise from tile to tile, so that O is rescaled.
TEST_P(WgmmaSm90aTest, AnyScaleIsWithinItsNoise) {
  for (const double scale : {-0.5, 0.0, 2.0}) {
    const AttentionCase& tiles = GetParam() <= 256 ? kManyTiles : kWideTiles;
    Problem p = tiles.with_d(GetParam()).problem(Dtype::kBf16, Pass::kForward);
    p.scale = scale;
    expect_right(p, 1, fmt::format("scale {}", scale));
  }
}

// The padded sizes, one that fills no 16 bytes, and one that leaves whole boxes half empty.
INSTANTIATE_TEST_SUITE_P(HeadDim, WgmmaSm90aTest,
                         testing::Values(1, 40, 64, 80, 111, 128, 160, 192, 256, 257, 320, 384, 392,
                                         512),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

TEST_F(WgmmaSm90a, GradientsAreWithinTheirNoise) {
  std::uint64_t seed = 0;
  for (const int d : {40, 64, 111, 128})
    for (const AttentionCase& c : kCases) {
      ++seed;
      expect_right(c.with_d(d).problem(seed % 2 == 0 ? Dtype::kF16 : Dtype::kBf16), seed,
                   fmt::format("{} d{}", c.guards_against, d));
    }
}

// Beyond d = 128 two consumers share 64 keys, whose tiles of queries have two or three stages; dQ
// has tiles of 48 or 80 keys in two. d = 129 leaves the second consumer one
// column of dV.
constexpr AttentionCase kSharedKeys[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 0}},
    {"ragged_rows_and_columns", {1, 2, 1, 65, 130, 0}, true},
    {"rows_that_see_nothing", {1, 2, 1, 150, 67, 0}, true},
    {"more_tiles_than_stages", {1, 1, 1, 330, 70, 0}},
    {"more_tiles_of_keys_than_stages", {1, 1, 1, 30, 270, 0}},
    {"keys_that_few_queries_see", {1, 1, 1, 100, 200, 0}, true},
    {"padding_and_group_of_four", {2, 4, 1, 70, 130, 0}, false, 0.5},
    {"padding_and_causal", {1, 2, 2, 100, 250, 0}, true, 0.5},
    {"padding_keeps_nothing", {2, 1, 1, 9, 20, 0}, false, 0.0},
};

class WgmmaSm90aWideGradients : public NeedsKernels, public testing::WithParamInterface<int> {};

TEST_P(WgmmaSm90aWideGradients, AreWithinTheirNoise) {
  std::uint64_t seed = static_cast<std::uint64_t>(GetParam());
  for (const AttentionCase& c : kSharedKeys) {
    ++seed;
    expect_right(c.with_d(GetParam()).problem(seed % 2 == 0 ? Dtype::kF16 : Dtype::kBf16), seed,
                 c.guards_against);
  }
}

INSTANTIATE_TEST_SUITE_P(HeadDim, WgmmaSm90aWideGradients,
                         testing::Values(129, 136, 160, 192, 200, 256),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

// Large scores keep maximum and sum apart.
TEST_F(WgmmaSm90a, GradientsOfSharedKeysOfAnyScaleAreWithinTheirNoise) {
  std::uint64_t seed = 0;
  for (const int d : {160, 200})
    for (const double scale : {-0.5, 0.0, 2.0, 1e5}) {
      const AttentionCase c = {"padding_and_causal", {1, 2, 1, 70, 100, d}, true, 0.7};
      Problem p = c.problem(++seed % 2 == 0 ? Dtype::kF16 : Dtype::kBf16);
      p.scale = scale;
      expect_right(p, seed, fmt::format("scale {} d{}", scale, d));
    }
}

// Beyond d = 256 each gradient has a kernel of its own, whose CTAs have 64 rows and tiles of 32 to
// 64 others, two of them kept; half of d is a consumer's. d = 257 leaves the second one 65 columns,
// and 392 whole boxes empty.
constexpr AttentionCase kOneGradient[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 0}},
    {"ragged_rows_and_columns", {1, 2, 1, 65, 100, 0}, true},
    {"padding_and_causal", {1, 2, 1, 70, 130, 0}, true, 0.6},
    {"rows_that_see_nothing", {1, 1, 1, 110, 45, 0}, true},
    {"more_tiles_than_stages", {1, 1, 1, 230, 40, 0}},
    {"more_tiles_of_keys_than_stages", {1, 1, 1, 20, 190, 0}},
    {"keys_that_few_queries_see", {1, 1, 1, 70, 200, 0}, true},
    {"padding_and_group_of_three", {2, 3, 1, 50, 90, 0}, false, 0.5},
    {"heads_of_their_own", {2, 2, 2, 33, 65, 0}},
    {"padding_keeps_nothing", {2, 1, 1, 9, 20, 0}, false, 0.0},
};

/// The cases one after the other, f16 and bf16 in turn, each in an order of warps and copies of its
/// own: of `seed` + 1, `seed` + 2, ...
void expect_right_gradients(int d, std::span<const AttentionCase> cases, std::uint64_t seed) {
  for (const AttentionCase& c : cases) {
    ++seed;
    expect_right(c.with_d(d).problem(seed % 2 == 0 ? Dtype::kF16 : Dtype::kBf16), seed,
                 fmt::format("{} d{}", c.guards_against, d));
  }
}

TEST_F(WgmmaSm90a, GradientsOfWideHeadsAreWithinTheirNoise) {
  const std::span<const AttentionCase> few = kOneGradient;
  expect_right_gradients(257, few.first(3), 1);
  expect_right_gradients(512, few.subspan(1, 2), 2);
}

// What the forward subtracted is subtracted to the bit: of scores this large another one shows.
TEST_F(WgmmaSm90a, GradientsOfWideHeadsOfAnyScaleAreWithinTheirNoise) {
  const AttentionCase c = {"padding_and_causal", {1, 2, 1, 70, 100, 264}, true, 0.7};
  std::uint64_t seed = 0;
  for (const double scale : {0.0, 3.0, -3.0, 1e5}) {
    Problem p = c.problem(++seed % 2 == 0 ? Dtype::kF16 : Dtype::kBf16);
    p.scale = scale;
    expect_right(p, seed, fmt::format("scale {}", scale));
  }
}

TEST_F(WgmmaSm90a, GradientsOfWideHeadsInAWindowAreWithinTheirNoise) {
  Problem p = AttentionCase{"window", {1, 2, 1, 90, 150, 300}, true}.problem(Dtype::kBf16);
  p.window_left = 37;
  expect_right(p, 1, "window");
}

// By the label "full": every padded size and odd ones, several orders.
class WgmmaSm90aOneGradient : public NeedsKernels, public testing::WithParamInterface<int> {};

TEST_P(WgmmaSm90aOneGradient, AreWithinTheirNoise) {
  for (std::uint64_t order = 0; order < 3; ++order)
    expect_right_gradients(GetParam(), kOneGradient,
                           100 * static_cast<std::uint64_t>(GetParam()) + 31 * order);
}

TEST_P(WgmmaSm90aOneGradient, InWindowsAreWithinTheirNoise) {
  std::uint64_t seed = 0;
  for (const bool causal : {false, true})
    for (const double kept : {1.0, 0.6})
      for (const int left : {0, 20, 90}) {
        const AttentionCase c = {"window", {1, 2, 1, 130, 170, GetParam()}, causal, kept};
        Problem p = c.problem(++seed % 2 == 0 ? Dtype::kF16 : Dtype::kBf16);
        p.window_left = left;
        if (!causal) p.window_right = 33;
        expect_right(p, seed, fmt::format("window {} d{}", left, GetParam()));
      }
}

INSTANTIATE_TEST_SUITE_P(Full, WgmmaSm90aOneGradient,
                         testing::Values(257, 264, 288, 299, 320, 384, 385, 392, 448, 511, 512),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

TEST_F(WgmmaSm90a, ResultsAreBitwiseEqualInEveryOrder) {
  const Problem wide = kWideTiles.with_d(264).problem(Dtype::kBf16, Pass::kForward);
  const EmulatedRun c(wgmma_sm90a::kFamily, wide, 1), d(wgmma_sm90a::kFamily, wide, 2);
  EXPECT_TRUE(c.same_bits_as(d));
  const Problem shared = kSharedKeys[6].with_d(200).problem(Dtype::kBf16);
  const EmulatedRun e(wgmma_sm90a::kFamily, shared, 1), f(wgmma_sm90a::kFamily, shared, 2);
  EXPECT_TRUE(e.same_bits_as(f));
  const Problem one = kOneGradient[2].with_d(264).problem(Dtype::kBf16);
  const EmulatedRun g(wgmma_sm90a::kFamily, one, 1), h(wgmma_sm90a::kFamily, one, 2);
  EXPECT_TRUE(g.same_bits_as(h));
  const Problem p = kManyTiles.with_d(64).problem(Dtype::kBf16);
  const EmulatedRun a(wgmma_sm90a::kFamily, p, 1), b(wgmma_sm90a::kFamily, p, 2);
  EXPECT_TRUE(a.same_bits_as(b));
}

// The counter of taken blocks is back at zero after a launch.
TEST_F(WgmmaSm90a, ALaunchFindsWhatTheOneBeforeLeft) {
  const Problem p = kManyTiles.with_d(64).problem(Dtype::kBf16, Pass::kForward);
  const Inputs in = data::make_inputs(p);
  MutatedDevice device({}, 1);
  const auto plan = make_plan(device, wgmma_sm90a::kFamily, p, in);
  for (int launch = 0; launch < 3; ++launch) {
    Outputs out = data::make_outputs(p);
    const Operands io{&in, &out};
    plan->prepare(io);
    plan->launch(io);
    plan->collect(io);
    EXPECT_TRUE(device.findings().empty());
    const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
    EXPECT_TRUE(v.ok()) << "launch " << launch << ": " << describe(v);
  }
}

TEST(WgmmaSm90aLayout, EveryHeadDimensionFitsTheSharedMemoryOfHopper) {
  for (std::int64_t d = 1; d <= 512; ++d)
    EXPECT_LE(wgmma_sm90a::shared_bytes(Pass::kBoth, d), 227u * 1024) << d;
}

}  // namespace
}  // namespace flashbench::cuda

// mma_sm80 beyond d = 256, whose warps split d, on the emulated device against the fp64 oracle. The
// tests of Full/* have the label "full".
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "cuda/mma_sm80/mma_sm80.h"
#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

// Tiles have 64 x 16 pairs in the forward and 32 x 16 in the backward; d is replaced.
constexpr AttentionCase kCases[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 0}},
    {"ragged_rows_and_columns", {1, 2, 1, 65, 50, 0}, true},
    {"rows_that_see_nothing", {1, 2, 1, 70, 33, 0}, true},
    {"padding_and_group_of_four", {2, 4, 1, 35, 81, 0}, false, 0.5},
    {"padding_and_causal", {2, 2, 2, 70, 90, 0}, true, 0.5},
};

void expect_right(const Problem& p, std::uint64_t seed, const std::string& what) {
  const EmulatedRun run(mma_sm80::kFamily, p, seed, {.nan_in_hidden_keys = true});
  EXPECT_EQ(run.findings_text(), "") << what;
  EXPECT_EQ(run.wrong(), "") << what;
}

Problem windowed(int d, Dtype dtype) {
  Problem p = kCases[1].with_d(d).problem(dtype);
  p.window_left = 20;
  return p;
}

/// All that a general kernel does, at once.
Problem general(int d, int d_v, Dtype dtype) {
  Problem p = kCases[4].with_d(d).problem(dtype);
  p.softcap = 2;
  p.alibi = Alibi::kStandard;
  p.sinks = Sinks::kRandom;
  p.shape.own_d_v = d_v;
  return p;
}

Problem ragged(int d, Dtype dtype) {
  Problem p = AttentionCase{"", {1, 2, 1, 1, 1, d}, true}.problem(dtype);
  p.ragged = Ragged::kLengths;
  p.shape.set(Sequences::of({{5, 0}, {33, 40}, {70, 50}, {1, 20}, {0, 9}}));
  return p;
}

class MmaSm80Split : public NeedsKernels {};
class AllMmaSm80Split : public NeedsKernels, public testing::WithParamInterface<int> {};

// Of each padded size one d that fills no 16 bytes and leaves parts empty.
TEST_F(MmaSm80Split, MasksAndLengthsAreWithinTheirNoise) {
  std::uint64_t seed = 0;
  for (const AttentionCase& c : kCases)
    for (const auto& [d, dtype] : {std::pair{257, Dtype::kBf16}, {401, Dtype::kF16}})
      expect_right(c.with_d(d).problem(dtype), ++seed, fmt::format("{} d{}", c.guards_against, d));
}

TEST_F(MmaSm80Split, VariantsAreWithinTheirNoise) {
  expect_right(windowed(512, Dtype::kBf16), 1, "window");
  expect_right(general(384, 200, Dtype::kBf16), 2, "narrow values");
  expect_right(general(130, 512, Dtype::kF16), 3, "wide values");
  expect_right(ragged(300, Dtype::kBf16), 4, "ragged batch");
}

TEST_F(MmaSm80Split, AnyScaleIsWithinItsNoise) {
  for (const double scale : {-0.5, 0.0, 2.0}) {
    Problem p = kCases[1].with_d(320).problem(Dtype::kBf16);
    p.scale = scale;
    expect_right(p, 1, fmt::format("scale {}", scale));
  }
}

TEST_F(MmaSm80Split, BitsAreEqualInEveryOrder) {
  const Problem p = general(257, 300, Dtype::kBf16);
  const EmulatedRun a(mma_sm80::kFamily, p, 1), b(mma_sm80::kFamily, p, 2);
  EXPECT_TRUE(a.same_bits_as(b));
}

TEST_P(AllMmaSm80Split, EverythingInSeveralOrders) {
  const int d = GetParam();
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16}) {
    std::vector<std::pair<std::string, Problem>> all = {{"window", windowed(d, dtype)},
                                                        {"narrow", general(d, d / 2 + 1, dtype)},
                                                        {"wide", general(d / 2 + 1, d, dtype)},
                                                        {"ragged", ragged(d, dtype)}};
    for (const AttentionCase& c : kCases)
      all.emplace_back(c.guards_against, c.with_d(d).problem(dtype));
    for (const auto& [what, p] : all) {
      const EmulatedRun first(mma_sm80::kFamily, p, 1, {.nan_in_hidden_keys = true});
      EXPECT_EQ(first.findings_text() + first.wrong(), "") << what << " " << name(dtype);
      for (const std::uint64_t seed : {2, 3}) {
        const EmulatedRun other(mma_sm80::kFamily, p, seed, {.nan_in_hidden_keys = true});
        EXPECT_EQ(other.findings_text(), "") << what << " " << name(dtype);
        EXPECT_TRUE(other.same_bits_as(first)) << what << " " << name(dtype);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Full, AllMmaSm80Split,
                         testing::Values(257, 264, 289, 320, 384, 385, 448, 480, 500, 512),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

}  // namespace
}  // namespace flashbench::cuda

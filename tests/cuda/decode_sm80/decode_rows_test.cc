// decode_sm80 with more query rows than one mma.sync has, as compiled, on the emulated device
// against the fp64 oracle: tiles of one and two row tiles, several blocks of them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>
#include <span>

#include "cuda/decode_sm80/decode_sm80.h"
#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

/// A device: how many CTAs share the line, and how many warps each has.
struct Machine {
  int multiprocessors;
  std::size_t shared_bytes;
};
constexpr Machine kMachines[] = {{1, 99 * 1024},  {3, 60 * 1024},  {7, 163 * 1024},
                                 {4, 227 * 1024}, {50, 99 * 1024}, {19, 45 * 1024}};

/// A mask, and whether it is causal.
struct RowsCase {
  AttentionCase c;
  std::optional<int> window_left = {};
};

// d is replaced.
constexpr AttentionCase kGroupsOfThree = {"blocks_of_two_heads", {2, 6, 2, 23, 150, 0}, true};
constexpr AttentionCase kPadded = {"padding_and_a_diagonal", {3, 4, 2, 40, 260, 0}, true, 0.5};

const RowsCase kFew[] = {
    {{"one_row_in_the_second_row_tile", {1, 1, 1, 17, 90, 0}, true}},
    {kGroupsOfThree},
    {kPadded},
    {{"a_window_that_moves", {1, 2, 1, 50, 300, 0}, true}, 40},
    {{"early_blocks_see_nothing", {1, 2, 2, 150, 60, 0}, true}},
};

const RowsCase kMany[] = {
    {{"a_full_block", {1, 4, 1, 8, 333, 0}}},
    {{"a_block_and_8_rows", {2, 8, 1, 5, 210, 0}, true}},
    {{"two_full_blocks", {1, 8, 1, 8, 500, 0}, true}},
    {{"two_blocks_and_a_row", {1, 5, 1, 13, 130, 0}, true}},
    {{"a_group_of_eight_in_blocks", {1, 16, 2, 32, 300, 0}, true}},
    {{"a_head_of_300_rows", {1, 1, 1, 300, 420, 0}, true}},
    {{"many_short_heads_in_a_share", {4, 6, 3, 20, 20, 0}, true}},
    {{"batch_elements_of_different_length", {7, 2, 2, 33, 90, 0}, false, 0.3}},
    {{"padding_keeps_nothing", {2, 4, 2, 17, 40, 0}, false, 0.0}},
    {{"padding_keeps_little", {4, 2, 1, 50, 60, 0}, true, 0.03}},
    {{"one_key", {2, 3, 1, 40, 1, 0}, true}},
    {{"a_window_and_padding", {2, 4, 2, 60, 300, 0}, true, 0.5}, 70},
    {{"a_window_of_one_key", {1, 2, 1, 70, 200, 0}, true}, 0},
};

EmulatedRun run_on(const Machine& m, const Problem& p, std::uint64_t seed) {
  return EmulatedRun(decode_sm80::kFamily, p, seed,
                     {.nan_in_hidden_keys = true,
                      .multiprocessors = m.multiprocessors,
                      .shared_bytes = m.shared_bytes});
}

Problem problem(const RowsCase& r, int d, Dtype dtype) {
  Problem p = r.c.with_d(d).problem(dtype, Pass::kForward);
  p.window_left = r.window_left;
  return p;
}

void expect_right(const Machine& m, const Problem& p, std::uint64_t seed, const std::string& what) {
  SCOPED_TRACE(fmt::format("{} {} d = {}, {} multiprocessors of {} bytes, seed {}", what,
                           name(p.dtype), p.shape.d, m.multiprocessors, m.shared_bytes, seed));
  const EmulatedRun run = run_on(m, p, seed);
  EXPECT_EQ(run.findings_text(), "");
  EXPECT_EQ(run.wrong(), "");
  EXPECT_EQ(run.matrix_flop(), run.flop_executed());
}

class DecodeRowsTest : public NeedsKernels, public testing::WithParamInterface<int> {
 protected:
  /// Each with its own device, order and type.
  void expect_all_right(std::span<const RowsCase> cases, std::uint64_t seed) const {
    for (const RowsCase& r : cases) {
      const Machine& m = kMachines[seed % std::size(kMachines)];
      const bool bf16 = (seed + seed / std::size(kMachines)) % 2 == 0;
      const Dtype dtype = bf16 ? Dtype::kBf16 : Dtype::kF16;
      expect_right(m, problem(r, GetParam(), dtype), seed, r.c.guards_against);
      ++seed;
    }
  }
};
class DecodeRows : public NeedsKernels {};

TEST_P(DecodeRowsTest, EveryCaseIsWithinItsNoise) {
  expect_all_right(kFew, static_cast<std::uint64_t>(GetParam()) / 8);
}

// The padded sizes, and ones that leave parts of a row empty.
INSTANTIATE_TEST_SUITE_P(HeadDim, DecodeRowsTest, testing::Values(32, 40, 96, 111, 192, 256),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

class AllDecodeRows : public DecodeRowsTest {};

// Every case meets every device with both types, each time in another order.
TEST_P(AllDecodeRows, EveryCaseIsWithinItsNoise) {
  for (std::uint64_t seed = 1; seed <= 2 * std::size(kMachines); ++seed) {
    expect_all_right(kFew, seed);
    expect_all_right(kMany, seed);
  }
}

TEST_P(AllDecodeRows, ResultsAreBitwiseEqualInEveryOrder) {
  for (const Machine& m : kMachines)
    for (const RowsCase& r : kFew) {
      const Problem p = problem(r, GetParam(), Dtype::kBf16);
      EXPECT_TRUE(run_on(m, p, 1).same_bits_as(run_on(m, p, 2)));
    }
}

TEST_P(AllDecodeRows, EveryNumberOfRowsIsWithinItsNoise) {
  for (int rows = 17; rows <= 300; rows += 9) {
    const auto seed = static_cast<std::uint64_t>(rows);
    const AttentionCase c = {"", {1, 2, 2, rows, 200 + rows / 2, 0}, rows % 2 == 0};
    const Dtype dtype = rows % 4 < 2 ? Dtype::kBf16 : Dtype::kF16;
    expect_right(kMachines[seed % std::size(kMachines)],
                 c.with_d(GetParam()).problem(dtype, Pass::kForward), seed,
                 fmt::format("{} rows", rows));
  }
}

INSTANTIATE_TEST_SUITE_P(Full, AllDecodeRows,
                         testing::Values(1, 32, 40, 64, 80, 96, 111, 128, 160, 192, 256),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

// Large logits: maxima rise from step to step, and differ between the row tiles of a warp.
TEST_F(DecodeRows, AnyScaleIsWithinItsNoise) {
  for (const double scale : {-0.5, 0.0, 2.0, 1e8}) {
    Problem p = kGroupsOfThree.with_d(64).problem(Dtype::kBf16, Pass::kForward);
    p.scale = scale;
    expect_right(kMachines[2], p, 1, fmt::format("scale {}", scale));
  }
}

TEST_F(DecodeRows, ResultsAreBitwiseEqualInEveryOrder) {
  for (const int d : {64, 128}) {
    const Problem p = kPadded.with_d(d).problem(Dtype::kBf16, Pass::kForward);
    EXPECT_TRUE(run_on(kMachines[2], p, 1).same_bits_as(run_on(kMachines[2], p, 2)));
  }
}

// Each lane of a warp looks at one of them.
TEST_F(DecodeRows, AHeadMayHaveAsManyBlocksAsAWarpHasLanes) {
  const Problem p =
      AttentionCase{"", {1, 8, 1, 64, 70, 192}, true}.problem(Dtype::kBf16, Pass::kForward);
  ASSERT_EQ(decode_sm80::blocks_of(decode_sm80::tile_of(192, 512), 512), 32);
  expect_right(kMachines[2], p, 1, "32 blocks");
}

// The counters of blocks are back at zero after a launch.
TEST_F(DecodeRows, ALaunchFindsWhatTheOneBeforeLeft) {
  const Problem p = kPadded.with_d(64).problem(Dtype::kBf16, Pass::kForward);
  const EmulatedRun run(decode_sm80::kFamily, p, 1,
                        {.multiprocessors = 7, .shared_bytes = 99 * 1024, .launches = 3});
  EXPECT_EQ(run.findings_text(), "");
  EXPECT_EQ(run.wrong(), "");
}

// ---- What a launch asks for

Extent extent(const Shape& shape, int multiprocessors, std::size_t shared_bytes) {
  return {shape, Dtype::kBf16, shape.kv_len, false, multiprocessors, shared_bytes};
}

struct LaunchRow {
  const char* what;
  Shape shape;
  std::size_t shared_kib;
  const char* entry;
  int q_tile, warps;
};

TEST(DecodeRowsLaunch, HasTheTileOfItsRowsAndAsManyRingsAsFit) {
  const LaunchRow rows[] = {
      {"one tile of 16", {1, 8, 1, 2, 8192, 64}, 227, "decode_sm80_forward_bf16_d64", 16, 8},
      {"a row more", {1, 1, 1, 17, 8192, 64}, 227, "decode_sm80_forward_rows32_bf16_d64", 32, 8},
      {"blocks", {1, 8, 1, 64, 8192, 40}, 99, "decode_sm80_forward_rows32_bf16_d64", 32, 5},
      {"the widest", {1, 8, 1, 8, 8192, 128}, 227, "decode_sm80_forward_rows32_bf16_d128", 32, 8},
      {"and in 99 KB", {1, 8, 1, 8, 8192, 128}, 99, "decode_sm80_forward_rows32_bf16_d128", 32, 5},
      {"wider", {1, 8, 1, 8, 8192, 200}, 227, "decode_sm80_forward_rows16_bf16_d256", 16, 6},
  };
  for (const LaunchRow& row : rows) {
    const Launch launch = decode_sm80::forward(extent(row.shape, 132, row.shared_kib << 10))[0];
    EXPECT_EQ(launch.entry, row.entry) << row.what;
    EXPECT_EQ(launch.q_tile, row.q_tile) << row.what;
    EXPECT_EQ(launch.threads, 32 * row.warps) << row.what;
  }
}

TEST(DecodeRowsLaunch, FillsTheDeviceWithFewBlocks) {
  // Two blocks of 32 rows: 16 parts of each, whose last CTA reads as much as each does of keys.
  EXPECT_EQ(decode_sm80::forward(extent({1, 8, 1, 8, 8192, 128}, 132, 227 << 10))[0].grid_x, 32);
  EXPECT_EQ(decode_sm80::forward(extent({1, 32, 8, 16, 8192, 128}, 132, 227 << 10))[0].grid_x, 132);
}

TEST(DecodeRowsLaunch, EveryHeadDimensionFitsEveryDevice) {
  for (std::int64_t d = 1; d <= 256; ++d)
    for (const std::int64_t rows : {17, 512})
      for (const std::size_t limit : {99u * 1024, 163u * 1024, 227u * 1024}) {
        const Extent e = extent({1, 1, 1, rows, 1000, d}, 8, limit);
        EXPECT_LE(decode_sm80::forward(e)[0].dynamic_bytes, limit) << d;
        EXPECT_LE(decode_sm80::shared_bytes(
                      decode_sm80::tile_of(decode_sm80::padded_head_dim(static_cast<int>(d)), rows),
                      decode_sm80::kFewestWarps),
                  decode_sm80::kFamily.shared_bytes(Pass::kForward, d));
      }
}

}  // namespace
}  // namespace flashbench::cuda

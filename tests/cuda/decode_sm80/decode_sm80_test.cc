// decode_sm80 as compiled, on the emulated device against the fp64 oracle: every padded head
// dimension, both dtypes, shares that end everywhere, several orders of warps and of copies.
#include "cuda/decode_sm80/decode_sm80.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/attention_case.h"
#include "tests/band.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

// Steps have 16 or 32 keys, CTAs 2 to 8 warps. d is replaced.
constexpr AttentionCase kSharesWithinHeads = {"shares_that_begin_within_heads",
                                              {1, 3, 3, 1, 700, 0}};
constexpr AttentionCase kPadded = {"padding_and_causal", {3, 4, 1, 4, 400, 0}, true, 0.4};
constexpr AttentionCase kCases[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 0}},
    {"one_query_and_a_ragged_end", {1, 4, 2, 1, 333, 0}, true},
    kSharesWithinHeads,
    {"many_short_heads_in_a_share", {5, 6, 3, 2, 20, 0}, true},
    {"sixteen_rows_and_a_diagonal", {1, 8, 2, 4, 210, 0}, true},
    {"group_of_five_with_three_queries", {2, 5, 1, 3, 300, 0}, true},
    {"more_queries_than_keys", {2, 2, 1, 8, 5, 0}, true},
    kPadded,
    {"batch_elements_of_different_length", {9, 2, 2, 1, 90, 0}, false, 0.3},
    {"padding_keeps_nothing", {2, 4, 2, 3, 40, 0}, false, 0.0},
    {"padding_keeps_little", {4, 2, 1, 5, 60, 0}, true, 0.03},
};

/// A device: how many CTAs share the line, and how many warps each has.
struct Machine {
  int multiprocessors;
  std::size_t shared_bytes;
};
constexpr Machine kMachines[] = {{1, 99 * 1024}, {4, 227 * 1024}, {7, 163 * 1024}, {50, 99 * 1024}};

EmulatedRun run_on(const Machine& m, const Problem& p, std::uint64_t seed) {
  return EmulatedRun(decode_sm80::kFamily, p, seed,
                     {.nan_in_hidden_keys = true,
                      .multiprocessors = m.multiprocessors,
                      .shared_bytes = m.shared_bytes});
}

void expect_right(const Machine& m, const Problem& p, std::uint64_t seed, const std::string& what) {
  const EmulatedRun run = run_on(m, p, seed);
  EXPECT_EQ(run.findings_text(), "") << what;
  EXPECT_EQ(run.wrong(), "") << what;
  EXPECT_EQ(run.matrix_flop(), run.flop_executed()) << what;
}

class DecodeSm80Test : public NeedsKernels, public testing::WithParamInterface<int> {};
class DecodeSm80 : public NeedsKernels {};

TEST_P(DecodeSm80Test, EveryCaseIsWithinItsNoise) {
  std::uint64_t seed = 0;
  for (const AttentionCase& c : kCases)
    for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16}) {
      ++seed;
      const Machine& m = kMachines[seed % std::size(kMachines)];
      expect_right(m, c.with_d(GetParam()).problem(dtype, Pass::kForward), seed,
                   fmt::format("{} {} {} CTAs", c.guards_against, name(dtype), m.multiprocessors));
    }
}

// Large logits: maxima rise from step to step, and differ between warps and between CTAs. Shifts
// beyond 2^27 have factors of their own, so that parts of a row are dropped and not rescaled.
TEST_P(DecodeSm80Test, AnyScaleIsWithinItsNoise) {
  for (const double scale : {-0.5, 0.0, 2.0, 1e4, 1e8, -1e30}) {
    Problem p = kSharesWithinHeads.with_d(GetParam()).problem(Dtype::kBf16, Pass::kForward);
    p.scale = scale;
    expect_right(kMachines[2], p, 1, fmt::format("scale {}", scale));
  }
}

// The padded sizes, one that fills no 16 bytes, and one that leaves whole chunks empty.
INSTANTIATE_TEST_SUITE_P(HeadDim, DecodeSm80Test,
                         testing::Values(1, 32, 40, 64, 80, 96, 111, 128, 160, 192, 256),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

// A warp reads the states of 32 parts at once.
TEST_F(DecodeSm80, AHeadMayHaveMorePartsThanAWarpHasLanes) {
  const Problem p = AttentionCase{"", {1, 1, 1, 1, 2000, 96}}.problem(Dtype::kBf16, Pass::kForward);
  const Machine many = {200, 99 * 1024};
  const Extent e{p.shape, p.dtype, p.shape.kv_len, false, many.multiprocessors, many.shared_bytes};
  ASSERT_GT(decode_sm80::forward(e)[0].grid_x, 32);
  expect_right(many, p, 1, "42 parts");
}

// As many CTAs as an H200 has multiprocessors, and heads of different length for each of them.
TEST_F(DecodeSm80, ManyHeadsFillALargeDevice) {
  const Machine h200 = {132, 227 * 1024};
  for (const double keep : {1.0, 0.5}) {
    const AttentionCase c = {"", {16, 16, 8, 2, 700, 64}, true, keep};
    const Problem p = c.problem(Dtype::kF16, Pass::kForward);
    const Extent e{p.shape, p.dtype, 300, false, h200.multiprocessors, h200.shared_bytes};
    ASSERT_EQ(decode_sm80::forward(e)[0].grid_x, 132);
    expect_right(h200, p, 3, fmt::format("{} kept", keep));
  }
}

TEST_F(DecodeSm80, ResultsAreBitwiseEqualInEveryOrder) {
  for (const Machine& m : kMachines) {
    const Problem p = kPadded.with_d(96).problem(Dtype::kBf16, Pass::kForward);
    EXPECT_TRUE(run_on(m, p, 1).same_bits_as(run_on(m, p, 2)));
  }
}

// The counters of heads are back at zero after a launch.
TEST_F(DecodeSm80, ALaunchFindsWhatTheOneBeforeLeft) {
  const Problem p = kPadded.with_d(64).problem(Dtype::kBf16, Pass::kForward);
  const EmulatedRun run(decode_sm80::kFamily, p, 1,
                        {.multiprocessors = 7, .shared_bytes = 99 * 1024, .launches = 3});
  EXPECT_EQ(run.findings_text(), "");
  EXPECT_EQ(run.wrong(), "");
}

// Rows whose keys begin after the first one.
TEST_F(DecodeSm80, RowsMayBeginInLaterSteps) {
  const BandCase bands[] = {
      {"one_query", {1, 4, 2, 1, 300, 64}, 100, 0},
      {"a_window_that_moves", {2, 2, 1, 8, 400, 128}, 150, 0},
      {"on_both_sides", {1, 2, 2, 7, 90, 40}, 3, 2},
      {"padding_within_the_window", {2, 4, 2, 5, 300, 96}, 120, 0, 0.4},
      {"rows_that_see_nothing", {1, 1, 1, 16, 5, 32}, 2, 0},
  };
  for (const BandCase& c : bands) {
    SCOPED_TRACE(c.guards_against);
    Problem p = c.problem(Dtype::kBf16);
    p.pass = Pass::kForward;
    const Inputs in = data::make_inputs(p);
    Outputs out = data::make_outputs(p);
    out.poison();
    MutatedDevice device({}, 1);
    device.pretend(5, 99 * 1024);
    const auto plan = make_plan(device, decode_sm80::kFamily, p, in);
    const Operands io{&in, &out};
    plan->prepare(io);
    plan->launch(io);
    plan->collect(io);
    for (const ptx::Finding& f : device.findings()) ADD_FAILURE() << f.text();
    const Inputs with_gradient = data::make_inputs(c.problem(Dtype::kBf16));
    const BandReference expected(c, p, with_gradient);
    expect_close("o", out.o, expected.o, 2e-2);
    expect_close("lse", out.lse, expected.lse, 2e-2);
    EXPECT_EQ(static_cast<double>(device.counters().matrix_flop), plan->flop_executed());
  }
}

// What a launch asks for, by what the device has.
TEST(DecodeSm80Launch, HasOneCtaAMultiprocessorWithAsManyRingsAsFit) {
  Extent e{{1, 32, 8, 1, 8192, 128}, Dtype::kBf16, 8192, false, 132, 227 * 1024};
  const Launch hopper = decode_sm80::forward(e)[0];
  EXPECT_EQ(hopper.entry, "decode_sm80_forward_bf16_d128");
  EXPECT_EQ(hopper.grid_x, 132);
  EXPECT_EQ(hopper.threads, 256);
  EXPECT_GE(decode_sm80::ring_bytes({128}) * 8, 64u * 1024) << "bytes on their way";
  e.shared_bytes = 99 * 1024;
  EXPECT_EQ(decode_sm80::forward(e)[0].threads, 96);
  e.most_kept = 100;
  EXPECT_EQ(decode_sm80::forward(e)[0].grid_x, ceil_div(8 * 7, 3)) << "a step for every warp";
  e.shape = {1, 1, 1, 16, 8192, 128};
  e.most_kept = 8192;
  EXPECT_EQ(decode_sm80::forward(e)[0].grid_x, 23) << "the last CTA reads 23 parts of 16 rows";
}

TEST(DecodeSm80Launch, EveryHeadDimensionFitsEveryDevice) {
  for (std::int64_t d = 1; d <= 256; ++d)
    for (const std::size_t limit : {99u * 1024, 163u * 1024, 227u * 1024}) {
      Extent e{{1, 1, 1, 1, 1, d}, Dtype::kF16, 1, false, 1, limit};
      EXPECT_LE(decode_sm80::forward(e)[0].dynamic_bytes, limit) << d;
      EXPECT_LE(decode_sm80::kFamily.shared_bytes(Pass::kForward, d),
                decode_sm80::forward(e)[0].dynamic_bytes);
    }
}

}  // namespace
}  // namespace flashbench::cuda

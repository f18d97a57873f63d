// V, O and their gradients of another width than Q and K: every driver, dtype and ISA level.
#include <gtest/gtest.h>

#include "core/work.h"
#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

/// {d, d_v}: vectors that end within one of them, blocks that one of them would choose otherwise,
/// rows of O that no buffer of d columns holds.
constexpr std::pair<std::int64_t, std::int64_t> kWidths[] = {
    {1, 7}, {7, 1}, {64, 1}, {1, 576}, {64, 7}, {192, 128}, {128, 192}, {59, 130}, {576, 512},
};

class ValueDimTest : public testing::TestWithParam<std::pair<std::int64_t, std::int64_t>> {
 protected:
  static AttentionCase of_widths(const AttentionCase& c) {
    AttentionCase other = c;
    std::tie(other.shape.d, other.shape.own_d_v) = GetParam();
    return other;
  }
};

constexpr AttentionCase kCases[] = {
    {"few_of_everything", {1, 1, 1, 1, 2, 1}},
    {"decode_over_several_splits", {1, 4, 2, 1, 700, 1}, false, 0.7},
    {"decode_with_causal_bounds", {2, 4, 2, 5, 90, 1}, true},
    {"groups_and_tails_of_tiles", {1, 3, 1, 37, 75, 1}, true, 0.6},
    {"several_blocks_of_both_kinds", {1, 2, 2, 230, 410, 1}, true},
};

TEST_P(ValueDimTest, EveryTypePassDtypeAndIsaIsWithinItsNoise) {
  for (const AttentionCase& widthless : kCases)
    for (const Dtype dtype : kDtypes)
      for (const Pass pass : {Pass::kForward, Pass::kBoth}) {
        const Problem p = of_widths(widthless).problem(dtype, pass);
        const Inputs in = data::make_inputs(p);
        const oracle::Reference reference(p, in, VerifyLevel::kFull);
        for (const Isa isa : available_isas())
          for (const Kernel* kernel : kernels()) {
            const Verdict v = reference.verify(run(*kernel, p, {.isa = isa, .threads = 2}, in));
            EXPECT_TRUE(v.checked() && v.ok())
                << widthless.guards_against << " " << kernel->info().name << " " << name(dtype)
                << " " << name(isa) << ": " << describe(v);
          }
      }
}

TEST_P(ValueDimTest, ProfilesAndPlansCountTheSameWork) {
  const Problem p = of_widths(kCases[3]).problem(Dtype::kF32, Pass::kBoth);
  const Inputs in = data::make_inputs(p);
  Outputs out = data::make_outputs(p);
  for (const Kernel* kernel : kernels()) {
    const auto plan = kernel->plan(p, {.isa = available_isas().back(), .threads = 2}, in);
    double flop = 0;
    std::size_t bytes = 0;
    for (const PhaseProfile::Row& row : plan->profile({&in, &out})) {
      flop += row.cost.flop;
      bytes += row.bytes;
    }
    EXPECT_DOUBLE_EQ(flop, plan->flop_executed()) << kernel->info().name;
    EXPECT_LE(bytes, plan->workspace_bytes());
    EXPECT_GT(static_cast<double>(bytes), 0.9 * static_cast<double>(plan->workspace_bytes()));
  }
  Problem dense = p;
  dense.causal = false;
  dense.padding = PaddingMask::kNone;
  // Normal attention keeps P, so that its backward has one product less, of d.
  const double pairs = count_visible(dense, {}).pairs, d = static_cast<double>(dense.shape.d);
  EXPECT_EQ(kernels()[1]->predicted_flop(dense, {.isa = Isa::kScalar, .threads = 1}),
            count_work(dense, {pairs, 0}).flop_dense - 2 * d * pairs);
}

// What is added up on the way to O overflows where O does not: rows of O are looked at whole.
TEST_P(ValueDimTest, LargeValuesInTheLastColumnDoNotOverflow) {
  const Problem p = of_widths({"", {1, 2, 1, 70, 300, 1}}).problem(Dtype::kF32, Pass::kForward);
  Inputs in = data::make_inputs(p);
  for (std::int64_t i = p.shape.d_v() - 1; i < in.v.count(); i += p.shape.d_v())
    in.v.set(i, in.v.at(i) * 0x1p124f);
  const oracle::Reference reference(p, in, VerifyLevel::kFull);
  for (const Isa isa : available_isas())
    for (const Kernel* kernel : kernels()) {
      const Verdict v = reference.verify(run(*kernel, p, {.isa = isa, .threads = 2}, in));
      EXPECT_TRUE(v.checked() && v.ok()) << kernel->info().name << " " << name(isa) << describe(v);
    }
}

INSTANTIATE_TEST_SUITE_P(Widths, ValueDimTest, testing::ValuesIn(kWidths), [](const auto& test) {
  return "d_" + std::to_string(test.param.first) + "_d_v_" + std::to_string(test.param.second);
});

}  // namespace
}  // namespace flashbench::cpu

// Every kernel of this backend against the fp64 oracle, at every ISA level that this processor has.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "core/work.h"
#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

constexpr AttentionCase kCases[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 1}},
    {"one_query_decode", {1, 2, 2, 1, 129, 64}, true},
    {"decode_group_over_several_splits", {1, 8, 2, 1, 2100, 64}},
    {"decode_splits_that_see_nothing", {2, 2, 1, 2, 1500, 32}, true, 0.1},
    {"decode_row_not_of_whole_vectors", {1, 3, 3, 1, 600, 39}, true, 0.5},
    {"few_queries_with_causal_bounds", {2, 6, 2, 5, 300, 40}, true, 0.5},
    {"as_many_rows_as_decode_takes", {1, 1, 1, 16, 530, 24}, true},
    {"one_row_more_than_decode_takes", {1, 1, 1, 17, 530, 24}, true},
    {"as_many_rows_as_decode_takes_in_512_bits", {1, 4, 1, 8, 530, 24}, true},
    {"one_row_more_than_decode_takes_in_512_bits", {1, 3, 1, 11, 530, 24}, true},
    {"decode_of_all_heads_of_a_group", {1, 128, 1, 1, 530, 24}, true, 0.5},
    {"more_heads_of_a_group_than_decode_takes", {1, 129, 1, 1, 300, 24}, true},
    {"three_queries_of_many_heads", {1, 84, 2, 3, 140, 40}, true},
    {"four_queries_of_many_heads", {1, 84, 2, 4, 140, 40}, true},
    {"more_queries_than_keys_decode", {1, 1, 1, 9, 4, 16}, true},
    {"ragged_both_tiles", {1, 2, 2, 65, 130, 64}},
    {"several_key_blocks_and_a_tail", {1, 1, 1, 33, 1100, 32}},
    {"several_query_blocks_causal", {1, 1, 1, 300, 300, 40}, true},
    {"more_queries_than_keys", {1, 1, 1, 70, 30, 64}, true},
    {"more_keys_than_queries_causal", {1, 2, 2, 30, 270, 24}, true},
    {"padding_alone", {2, 2, 2, 50, 220, 48}, false, 0.5},
    {"padding_and_causal", {2, 2, 2, 130, 210, 48}, true, 0.5},
    {"padding_keeps_nothing", {1, 1, 1, 9, 20, 16}, false, 0.0},
    {"padding_keeps_little_causal", {2, 1, 1, 100, 100, 16}, true, 0.03},
    {"group_of_three", {1, 6, 2, 40, 70, 32}, true},
    {"multi_query_with_padding", {2, 8, 1, 37, 90, 16}, false, 0.6},
    {"d_7", {1, 1, 1, 20, 33, 7}},
    {"d_111", {1, 1, 1, 45, 50, 111}, true},
    {"d_192", {1, 1, 1, 30, 70, 192}},
    {"d_1024", {1, 1, 1, 14, 200, 1024}, true},
    {"large_logits", {1, 1, 1, 40, 150, 64}, false, 1.0, 3.75},
    {"negative_scale", {1, 1, 1, 20, 40, 32}, true, 1.0, -0.2},
    {"zero_scale_is_the_mean", {1, 1, 1, 20, 40, 32}, true, 1.0, 0.0},
    {"zero_scale_padded", {1, 1, 1, 20, 40, 32}, false, 0.5, 0.0},
    {"scale_that_underflows", {1, 1, 1, 20, 40, 32}, true, 1.0, 1e-50},
    {"tiny_scale_is_the_mean", {1, 1, 1, 20, 40, 32}, true, 1.0, 1e-30},
};

const AttentionCase& case_named(std::string_view what) {
  for (const AttentionCase& c : kCases)
    if (c.guards_against == what) return c;
  throw std::invalid_argument(std::string(what));
}

class AttentionTest : public testing::TestWithParam<Isa> {};

TEST_P(AttentionTest, EveryTypePassMaskAndDtypeIsWithinItsNoise) {
  for (const AttentionCase& c : kCases)
    for (const Dtype dtype : kDtypes)
      // Without gradients, few queries take another path.
      for (const Pass pass : {Pass::kForward, Pass::kBoth}) {
        const Problem p = c.problem(dtype, pass);
        const Inputs in = data::make_inputs(p);
        const oracle::Reference reference(p, in, VerifyLevel::kFull);
        for (const Kernel* kernel : kernels()) {
          const Execution e{.isa = GetParam(), .threads = 2};
          const Verdict v = reference.verify(run(*kernel, p, e, in));
          EXPECT_TRUE(v.checked() && v.ok()) << c.guards_against << " " << kernel->info().name
                                             << " " << name(dtype) << ": " << describe(v);
        }
      }
}

// Ragged lengths on purpose: 75 keys and 19 queries fill no tile of any level. The number of
// threads turns with the case. One oracle serves all levels.
TEST(Attention, EveryHeadDimensionGroupMaskDtypeIsaAndThreadCountIsWithinItsNoise) {
  constexpr int kThreads[] = {1, 2, 7};
  constexpr std::int64_t kGroups[] = {1, 3, 8};
  int turn = 0;
  for (const std::int64_t d : {1, 7, 40, 80, 96, 111, 192, 256, 512, 1024})
    for (const std::int64_t group : kGroups)
      for (const auto& [causal, keep] : {std::pair{false, 1.0}, {true, 1.0}, {true, 0.6}})
        for (const Dtype dtype : kDtypes) {
          const AttentionCase c = {"", {1, group, 1, 19, 75, d}, causal, keep};
          const Problem p = c.problem(dtype, Pass::kBoth);
          const Inputs in = data::make_inputs(p);
          const oracle::Reference reference(p, in, VerifyLevel::kFull);
          for (const Isa isa : available_isas()) {
            const Execution e{.isa = isa, .threads = kThreads[turn++ % 3]};
            for (const Kernel* kernel : kernels()) {
              const Verdict v = reference.verify(run(*kernel, p, e, in));
              EXPECT_TRUE(v.checked() && v.ok())
                  << kernel->info().name << " d " << d << " group " << group << " causal " << causal
                  << " keep " << keep << " " << name(dtype) << " " << name(isa) << " threads "
                  << e.threads << ": " << describe(v);
            }
          }
        }
}

TEST_P(AttentionTest, BackwardAloneUsesTheForwardOfPrepare) {
  const Problem p = case_named("padding_and_causal").problem(Dtype::kF32, Pass::kBackward);
  const Inputs in = data::make_inputs(p);
  for (const Kernel* kernel : kernels()) {
    Outputs out = data::make_outputs(p);
    const auto plan = kernel->plan(p, {.isa = GetParam(), .threads = 2}, in);
    const Operands io{&in, &out};
    plan->prepare(io);
    for (int repeat = 0; repeat < 2; ++repeat) {  // a second launch must not see the first's sums
      for (Tensor* t : {&out.dq, &out.dk, &out.dv}) t->poison();
      plan->launch(io);
      const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
      EXPECT_TRUE(v.ok()) << kernel->info().name << ": " << describe(v);
    }
  }
}

TEST_P(AttentionTest, EveryNumberOfThreadsIsRight) {
  const Problem p = case_named("padding_and_causal").problem(Dtype::kF32, Pass::kBoth);
  const Inputs in = data::make_inputs(p);
  for (const Kernel* kernel : kernels())
    for (const int threads : {1, 3, 7}) {
      const Outputs out = run(*kernel, p, {.isa = GetParam(), .threads = threads}, in);
      const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
      EXPECT_TRUE(v.ok()) << kernel->info().name << " on " << threads << ": " << describe(v);
    }
}

TEST_P(AttentionTest, DeterministicGradientsAreBitwiseEqual) {
  Problem p = case_named("several_query_blocks_causal").problem(Dtype::kF32, Pass::kBoth);
  p.shape.kv_len = p.shape.q_len = 900;  // several key blocks add to one block of dQ
  const Inputs in = data::make_inputs(p);
  for (const Kernel* kernel : kernels()) {
    const Execution e{.isa = GetParam(), .threads = 5, .deterministic = true};
    const Outputs first = run(*kernel, p, e, in);
    for (int repeat = 0; repeat < 3; ++repeat) {
      const Outputs again = run(*kernel, p, e, in);
      for (const auto& [a, b] : {std::pair(&first.dq, &again.dq), std::pair(&first.dk, &again.dk),
                                 std::pair(&first.dv, &again.dv), std::pair(&first.o, &again.o)})
        EXPECT_EQ(std::memcmp(a->data(), b->data(), a->bytes()), 0) << kernel->info().name;
    }
  }
}

TEST_P(AttentionTest, NanInAHiddenKeyChangesNothing) {
  const Problem p = case_named("padding_alone").problem(Dtype::kF32, Pass::kBoth);
  Inputs in = data::make_inputs(p);
  for (const Kernel* kernel : kernels()) {
    const Execution e{.isa = GetParam(), .threads = 1, .deterministic = true};
    const Outputs clean = run(*kernel, p, e, in);
    const Shape& s = p.shape;
    for (std::int64_t b = 0; b < s.b; ++b)
      for (std::int64_t k = 0; k < s.kv_len; ++k)
        if (in.key_mask[static_cast<std::size_t>(b * s.kv_len + k)] == 0)
          for (std::int64_t h = 0; h < s.h_kv; ++h)
            for (Tensor* t : {&in.k, &in.v})
              for (std::int64_t d = 0; d < s.d; ++d)
                t->set(t->dims().index(b, h, k, d), d % 2 == 0 ? NAN : INFINITY);
    const Outputs hidden = run(*kernel, p, e, in);
    for (const auto& [a, b] : {std::pair(&clean.o, &hidden.o), std::pair(&clean.dq, &hidden.dq),
                               std::pair(&clean.dk, &hidden.dk), std::pair(&clean.dv, &hidden.dv),
                               std::pair(&clean.lse, &hidden.lse)})
      EXPECT_EQ(std::memcmp(a->data(), b->data(), a->bytes()), 0) << kernel->info().name;
    in = data::make_inputs(p);
  }
}

TEST_P(AttentionTest, ConstantValuesGiveConstantOutputs) {
  const Problem p =
      case_named("more_keys_than_queries_causal").problem(Dtype::kF32, Pass::kForward);
  Inputs in = data::make_inputs(p);
  for (std::int64_t i = 0; i < in.v.count(); ++i) in.v.set(i, 2.5f);
  for (const Kernel* kernel : kernels()) {
    const Outputs out = run(*kernel, p, {.isa = GetParam(), .threads = 2}, in);
    for (std::int64_t i = 0; i < out.o.count(); ++i) EXPECT_NEAR(out.o.at(i), 2.5f, 1e-5f);
  }
}

// The backward computes P again: with large scores S - LSE cancels, but only if both are the same.
TEST_P(AttentionTest, GradientsAreRightHoweverLargeTheScores) {
  for (const std::int64_t q_len : {1, 16, 70})
    for (const double scale : {1e4, 1e8, -1e30})
      for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
        const AttentionCase c = {"", {1, 2, 1, q_len, 150, 64}, true, 1.0, scale};
        const Problem p = c.problem(dtype, Pass::kBoth);
        const Inputs in = data::make_inputs(p);
        const oracle::Reference reference(p, in, VerifyLevel::kFull);
        for (const Kernel* kernel : kernels()) {
          const Verdict v =
              reference.verify(run(*kernel, p, {.isa = GetParam(), .threads = 2}, in));
          EXPECT_TRUE(v.checked() && v.ok()) << kernel->info().name << " " << q_len << " " << scale
                                             << " " << name(dtype) << ": " << describe(v);
        }
      }
}

// O is the mean of V, and no larger: what is added up on the way may not overflow.
TEST_P(AttentionTest, ValuesNearTheLargestNumberDoNotOverflow) {
  for (const auto& [q_len, kv_len] : {std::pair{1, 300}, {70, 300}, {70, 1}})
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
      const AttentionCase c = {"", {1, 2, 1, q_len, kv_len, 64}, false, 1.0, 0.5};
      const Problem p = c.problem(dtype, Pass::kForward);
      Inputs in = data::make_inputs(p);
      for (std::int64_t i = 0; i < in.v.count(); ++i) in.v.set(i, in.v.at(i) * 0x1p124f);
      const oracle::Reference reference(p, in, VerifyLevel::kFull);
      for (const Kernel* kernel : kernels()) {
        const Verdict v = reference.verify(run(*kernel, p, {.isa = GetParam(), .threads = 2}, in));
        EXPECT_TRUE(v.checked() && v.ok())
            << kernel->info().name << " " << q_len << " " << name(dtype) << ": " << describe(v);
      }
    }
}

// A score of 102400 per head dimension, and a mean of equal numbers: nothing here needs rounding.
TEST_P(AttentionTest, ConstantInputsGiveExactGradients) {
  const AttentionCase c = {"", {1, 1, 1, 64, 64, 1024}};
  const Problem p = c.problem(Dtype::kF32, Pass::kBoth);
  Inputs in = data::make_inputs(p);
  for (Tensor* t : {&in.q, &in.k, &in.v, &in.d_o})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, t == &in.d_o ? 1.0f : 10.0f);
  for (const Kernel* kernel : kernels()) {
    const Outputs out = run(*kernel, p, {.isa = GetParam(), .threads = 2}, in);
    for (std::int64_t i = 0; i < out.dv.count(); ++i) EXPECT_EQ(out.dv.at(i), 1.0f);
    for (std::int64_t i = 0; i < out.o.count(); ++i) EXPECT_EQ(out.o.at(i), 10.0f);
    EXPECT_EQ(out.lse.at(0), 3204.158883f);
  }
}

// Flash forward begins with a guess of the maximum. 300 to 500 in units of log 2 is where 2^x would
// wrap around in the bits of an f32.
TEST_P(AttentionTest, LogitsMayLieAnywhereAndJumpFromBlockToBlock) {
  Problem p = case_named("several_key_blocks_and_a_tail").problem(Dtype::kF32, Pass::kForward);
  p.scale = 1;
  for (const float start : {-1000.0f, -90.0f, -44.0f, -40.0f, 0.0f, 12.0f, 90.0f, 250.0f, 1000.0f})
    for (const float jump : {0.0f, -250.0f, 60.0f, 250.0f})
      for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
        p.dtype = dtype;
        Inputs in = data::make_inputs(p);
        for (std::int64_t q = 0; q < p.shape.q_len; ++q)
          in.q.set(in.q.dims().index(0, 0, q, 0), 1.0f);
        for (std::int64_t k = 0; k < p.shape.kv_len; ++k)
          in.k.set(in.k.dims().index(0, 0, k, 0),
                   start + jump * static_cast<float>(k / 256 + k % 2));
        const Outputs out = run(*kernels()[0], p, {.isa = GetParam(), .threads = 1}, in);
        const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
        EXPECT_TRUE(v.checked() && v.ok())
            << start << " + " << jump << " " << name(dtype) << ": " << describe(v);
      }
}

TEST_P(AttentionTest, ProfileAccountsForEveryPhaseAndAllocation) {
  const Problem p = case_named("padding_and_causal").problem(Dtype::kF32, Pass::kBoth);
  const Inputs in = data::make_inputs(p);
  for (const Kernel* kernel : kernels()) {
    Outputs out = data::make_outputs(p);
    const auto plan = kernel->plan(p, {.isa = GetParam(), .threads = 2}, in);
    double seconds = 0, flop = 0;
    std::size_t bytes = 0;
    for (const PhaseProfile::Row& row : plan->profile({&in, &out})) {
      if (row.phase == "new max") continue;  // in rare data only
      // Rows of f32 are operands where they lie: nothing is done.
      if (row.phase.starts_with("load Q") && row.bytes == 0) continue;
      EXPECT_GT(row.calls, 0u) << row.phase;
      EXPECT_GT(row.cost.bytes, 0) << row.phase;
      flop += row.cost.flop;
      seconds += row.seconds;
      bytes += row.bytes;
    }
    EXPECT_GT(seconds, 0);
    EXPECT_DOUBLE_EQ(flop, plan->flop_executed());
    EXPECT_LE(bytes, plan->workspace_bytes());
    EXPECT_GT(static_cast<double>(bytes), 0.9 * static_cast<double>(plan->workspace_bytes()));
    EXPECT_TRUE(oracle::verify(p, in, out, VerifyLevel::kFull).ok());
  }
}

TEST_P(AttentionTest, FlashExecutesLittleMoreThanWhatIsVisible) {
  Problem p = case_named("several_query_blocks_causal").problem(Dtype::kF32, Pass::kForward);
  p.shape = {1, 1, 1, 2048, 2048, 64};
  const Inputs in = data::make_inputs(p);
  const Execution e{.isa = GetParam(), .threads = 2};
  const double visible = count_work(p, count_visible(p, {})).flop_visible;
  EXPECT_LT(kernels()[0]->plan(p, e, in)->flop_executed(), 1.02 * visible);
  EXPECT_DOUBLE_EQ(kernels()[1]->plan(p, e, in)->flop_executed(),
                   count_work(p, count_visible(p, {})).flop_dense);
  p.pass = Pass::kBackward;
  EXPECT_LT(kernels()[0]->predicted_flop(p, e), 1.15 * 2.5 * visible);
}

INSTANTIATE_TEST_SUITE_P(Isa, AttentionTest, testing::ValuesIn(available_isas()),
                         [](const auto& test) { return std::string(name(test.param)); });

}  // namespace
}  // namespace flashbench::cpu

// Sequences of a ragged batch do not meet, whatever lies beside them, also where some are empty.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/batch_element.h"
#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "paper/paper_kernel.h"
#include "tests/attention_case.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

Problem ragged(const std::vector<SequenceLengths>& lengths, Dtype dtype, Pass pass) {
  Problem p;
  p.shape = {.h = 4, .h_kv = 2, .d = 24};
  p.ragged = Ragged::kLengths;
  p.shape.set(Sequences::of(lengths));
  p.dtype = dtype;
  p.pass = pass;
  p.causal = true;
  p.d_o = GradSource::kRandom;
  return p;
}

/// Long and short, more queries than keys, those that decode; and some without queries or keys.
const std::vector<std::vector<SequenceLengths>> kBatches = {
    {{33, 33}, {1, 70}, {130, 65}, {2, 300}, {1, 1}, {250, 260}},
    {{0, 9}, {40, 60}, {5, 0}, {0, 0}, {1, 90}, {100, 0}, {3, 3}, {0, 70}},
    {{1, 40}, {3, 500}, {2, 2}},
    {{0, 1}, {1, 0}}};

Outputs run_collected(const Kernel& kernel, const Problem& p, const Execution& e,
                      const Inputs& in) {
  Outputs out = empty_outputs(p);
  const auto plan = kernel.plan(p, e, in);
  EXPECT_EQ(plan->workspace_bytes(), kernel.workspace_bytes(p, e));
  EXPECT_EQ(plan->flop_executed(), kernel.predicted_flop(p, e));
  const Operands io{&in, &out};
  plan->prepare(io);
  plan->launch(io);
  plan->collect(io);
  return out;
}

class RaggedTest : public testing::TestWithParam<Pass> {
 protected:
  static void expect_right(const Kernel& kernel, const Problem& p, const Execution& e,
                           const Inputs& in, const oracle::Reference& reference) {
    const Verdict v = reference.verify(run_collected(kernel, p, e, in));
    EXPECT_TRUE(v.checked() && v.ok())
        << kernel.info().name << " " << name(e.isa) << " " << name(p.dtype) << ": " << describe(v);
  }
};

TEST_P(RaggedTest, BatchesAreRightAtEveryLevel) {
  for (const auto& lengths : kBatches)
    for (const Dtype dtype : kDtypes) {
      Problem p = ragged(lengths, dtype, GetParam());
      p.sinks = Sinks::kRandom;
      p.alibi = Alibi::kStandard;
      p.window_left = 50;
      const Inputs in = data::make_inputs(p);
      const oracle::Reference reference(p, in, VerifyLevel::kFull);
      for (const Isa isa : available_isas())
        for (const Kernel* kernel : kernels())
          for (const int threads : {1, 3})
            expect_right(*kernel, p, {.isa = isa, .threads = threads}, in, reference);
      if (dtype == Dtype::kF32)
        expect_right(paper::paper_kernel(), p, {.threads = 2}, in, reference);
    }
}

// Another sequence's keys, queries and gradients, NaN as they may be, change no bit of one's own.
TEST_P(RaggedTest, SequencesDoNotMeet) {
  const Problem p = ragged(kBatches[0], Dtype::kF32, GetParam());
  const Inputs in = data::make_inputs(p);
  const Execution e = {.isa = available_isas().back(), .threads = 2, .deterministic = true};
  for (const Kernel* kernel : kernels()) {
    Outputs a = run_collected(*kernel, p, e, in);
    for (std::int64_t kept = 0; kept < p.shape.b; ++kept) {
      Inputs other = data::make_inputs(p);
      for (Tensor* t : {&other.q, &other.k, &other.v, &other.d_o})
        for (std::int64_t r = 0; r < t->dims().all_rows(); ++r)
          if (t->dims().place(r).b != kept)
            for (std::int64_t c = 0; c < t->dims().d; ++c) t->set(r * t->dims().d + c, NAN);
      Outputs b = run_collected(*kernel, p, e, other);
      const Outputs of_a = batch_element(a, kept), of_b = batch_element(b, kept);
      for (const auto& [x, y] : {std::pair(&of_a.o, &of_b.o),
                                 {&of_a.lse, &of_b.lse},
                                 {&of_a.dq, &of_b.dq},
                                 {&of_a.dk, &of_b.dk},
                                 {&of_a.dv, &of_b.dv}}) {
        ASSERT_EQ(x->bytes(), y->bytes());
        EXPECT_TRUE(x->bytes() == 0 || std::memcmp(x->data(), y->data(), x->bytes()) == 0)
            << kernel->info().name << " " << kept;
      }
    }
  }
}

// A hundred short sequences beside a long one take little more memory than it alone.
TEST(RaggedMemory, IsThatOfTheLongestAndNotAsManyTimes) {
  for (const Pass pass : {Pass::kForward, Pass::kBoth})
    for (const int threads : {2, 64}) {
      const Execution e = {.isa = available_isas().back(), .threads = threads};
      std::vector<SequenceLengths> lengths = {{8192, 8192}};
      const auto bytes = [&] {
        Problem p = ragged(lengths, Dtype::kF32, pass);
        p.alibi = Alibi::kStandard;
        return static_cast<double>(kernels()[0]->workspace_bytes(p, e));
      };
      const double alone = bytes();
      lengths.insert(lengths.end(), 100, {20, 20});
      EXPECT_LT(bytes(), 1.6 * alone) << name(pass) << " " << threads;
    }
}

INSTANTIATE_TEST_SUITE_P(Passes, RaggedTest,
                         testing::Values(Pass::kForward, Pass::kBackward, Pass::kBoth),
                         [](const auto& pass) { return std::string(name(pass.param)); });

TEST(RaggedProfile, PhasesOfAllSequencesAreOne) {
  const Problem p = ragged(kBatches[0], Dtype::kF32, Pass::kBoth);
  const Inputs in = data::make_inputs(p);
  for (const Kernel* kernel : kernels()) {
    Outputs out = empty_outputs(p);
    const auto plan = kernel->plan(p, {.isa = available_isas().back(), .threads = 2}, in);
    const Operands io{&in, &out};
    plan->prepare(io);
    double flop = 0;
    std::size_t bytes = 0;
    const std::vector<PhaseProfile::Row> rows = plan->profile(io);
    EXPECT_LT(rows.size(), 20u) << "phases of each sequence apart";
    for (const PhaseProfile::Row& row : rows) {
      flop += row.cost.flop;
      bytes += row.bytes;
    }
    // Tiles whose guess of the maximum was wrong are computed twice.
    EXPECT_GE(flop, plan->flop_executed()) << kernel->info().name;
    EXPECT_LE(flop, 1.01 * plan->flop_executed()) << kernel->info().name;
    EXPECT_GT(bytes, 0u);
    EXPECT_EQ(plan->trace(io, 100).size(), 2u);
  }
}

}  // namespace
}  // namespace flashbench::cpu

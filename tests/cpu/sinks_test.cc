// Sinks of any size beside logits up to 11: what they leave of P may be far below 1, and still
// counts.
#include <gtest/gtest.h>

#include <cmath>

#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "paper/paper_kernel.h"
#include "tests/attention_case.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

class SinksTest : public testing::TestWithParam<float> {};

constexpr AttentionCase kCases[] = {
    {"decode", {1, 2, 1, 1, 300, 16}, false, 1, 0.7},
    {"blocks_and_rows_that_see_nothing", {1, 2, 1, 70, 60, 16}, true, 1, 0.7},
    {"one_key", {1, 1, 1, 1, 1, 16}, false, 1, 3},
};

void expect_right(const Kernel& kernel, const Problem& p, const Execution& e, const Inputs& in,
                  const oracle::Reference& reference) {
  const Outputs out = run(kernel, p, e, in);
  const Verdict v = reference.verify(out);
  EXPECT_TRUE(v.checked() && v.ok())
      << kernel.info().name << " " << name(e.isa) << " " << name(p.dtype) << ": " << describe(v);
  for (std::int64_t i = 0; i < out.lse.count(); ++i)
    ASSERT_TRUE(std::isfinite(out.lse.at(i))) << kernel.info().name << " " << i;
}

TEST_P(SinksTest, LeaveToTheKeysWhatTheyShould) {
  for (const AttentionCase& c : kCases)
    for (const Dtype dtype : kDtypes)
      for (const Pass pass : {Pass::kForward, Pass::kBoth}) {
        Problem p = c.problem(dtype, pass);
        p.sinks = Sinks::kRandom;
        Inputs in = data::make_inputs(p);
        for (float& sink : in.sinks) sink = GetParam();
        const oracle::Reference reference(p, in, VerifyLevel::kFull);
        for (const Isa isa : available_isas())
          for (const Kernel* kernel : kernels())
            expect_right(*kernel, p, {.isa = isa, .threads = 2}, in, reference);
        if (dtype == Dtype::kF32)
          expect_right(paper::paper_kernel(), p, {.threads = 2}, in, reference);
      }
}

INSTANTIATE_TEST_SUITE_P(Sizes, SinksTest,
                         testing::Values(-1e30f, -100.0f, 0.0f, 60.0f, 80.0f, 89.0f, 92.0f, 95.0f,
                                         100.0f, 1e30f));

}  // namespace
}  // namespace flashbench::cpu

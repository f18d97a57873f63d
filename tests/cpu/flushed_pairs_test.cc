// vdpbf16ps takes subnormal numbers for 0. Where they make scores, decoding does without it.
#include "cpu/flushed_pairs.h"

#include <gtest/gtest.h>

#include <string>

#include "cpu/attention_pass.h"
#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

Problem decoding() {
  return AttentionCase{"decode", {1, 4, 2, 2, 300, 64}}.problem(Dtype::kBf16, Pass::kForward);
}

void multiply(Tensor& x, float factor) {
  for (std::int64_t i = 0; i < x.dims().count(); ++i) x.set(i, x.at(i) * factor);
}

TEST(FlushedPairs, SubnormalQueriesOrKeysStillMakeScoresWhereTheOtherIsHuge) {
  constexpr float kSubnormal = 2e-39f, kHuge = 2e37f;
  const Problem p = decoding();
  for (const bool of_q : {true, false}) {
    Inputs in = data::make_inputs(p);
    multiply(of_q ? in.q : in.k, kSubnormal);
    multiply(of_q ? in.k : in.q, kHuge);
    const oracle::Reference reference(p, in, VerifyLevel::kFull);
    for (const Isa isa : available_isas()) {
      const Kernel* const flash = kernels().front();
      const Verdict v = reference.verify(run(*flash, p, {.isa = isa, .threads = 2}, in));
      EXPECT_TRUE(v.checked() && v.ok())
          << flash->info().name << " " << name(isa) << (of_q ? " q" : " k") << describe(v);
    }
  }
}

TEST(FlushedPairs, OneNumberDecides) {
  const Problem p = decoding();
  Inputs in = data::make_inputs(p);
  const auto lose = [&] { return pairs_lose(rows_of(in.q, 0, 0), 4, p.shape.d, .125); };
  EXPECT_FALSE(lose());
  const std::int64_t last = 4 * p.shape.d - 1;
  const float before = in.q.at(last);
  in.q.set(last, 0);
  EXPECT_FALSE(lose()) << "zeros are none";
  in.q.set(last, -1e-39f);
  EXPECT_TRUE(lose());
  in.q.set(last, -1e28f);
  EXPECT_FALSE(lose()) << "times 64 subnormal keys this is 1e-9";
  in.q.set(last, -1e35f);
  EXPECT_TRUE(lose());
  in.q.set(last, before);
  EXPECT_FALSE(lose());
}

}  // namespace
}  // namespace flashbench::cpu

#include "distributed/context_parallel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <tuple>

#include "tests/distributed/ranks_case.h"

namespace flashbench::distributed {
namespace {

const Kernel& flash() { return *cpu::kernels().front(); }

std::string refusal(const Problem& p, const Arrangement& of) {
  const auto why = context_parallel(flash(), of)->refuses(p, one_thread(p));
  return why ? why->reason : "";
}

TEST(ContextParallel, WhatRanksCannotComputeIsComputedWrong) {
  const Arrangement ring{Method::kRing, 2};
  Problem p = small(32, 32);
  EXPECT_EQ(refusal(p, ring), "");
  p.sinks = Sinks::kRandom;
  EXPECT_EQ(refusal(p, ring), "ring of cpu_flash does not support --sinks");
  p = small(32, 32);
  p.bias = Bias::kRandom;
  EXPECT_EQ(refusal(p, ring), "ring of cpu_flash does not support --bias");
  p = small(32, 32);
  p.alibi = Alibi::kStandard;
  EXPECT_EQ(refusal(p, ring), "");
  EXPECT_EQ(refusal(p, {Method::kRing, 2, 1, 0, SequenceLayout::kStriped}),
            "--layout_seq striped does not support --alibi");
  EXPECT_NE(refusal(small(32, 32), {Method::kUlysses, 4}).find("2 K/V heads do not divide"),
            std::string::npos);
  const auto normal = context_parallel(*cpu::kernels().back(), ring);
  ASSERT_TRUE(normal->refuses(small(32, 32), one_thread(small(32, 32))));
}

TEST(ContextParallel, ArrangementsThatMakeNoSenseAreTaken) {
  EXPECT_FALSE(invalid({Method::kRing, 6, 2, 3}));
  EXPECT_FALSE(invalid({Method::kUlysses, 4}));
  EXPECT_TRUE(invalid({Method::kRing, 3, 2})) << "heads over 2 of 3 ranks";
  EXPECT_TRUE(invalid({Method::kRing, 4, 2, 3})) << "inner rings of 3 in one of 2";
  EXPECT_TRUE(invalid({Method::kAllGather, 4, 1, 2})) << "there is no ring";
  EXPECT_TRUE(invalid({Method::kUlysses, 4, 2})) << "two numbers of parts";
}

TEST(ContextParallel, MemoryAndFlopAreNotThoseForetold) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kBoth})
    for (const Arrangement& of :
         {Arrangement{Method::kRing, 3, 1, 0, SequenceLayout::kZigzag},
          Arrangement{Method::kRing, 4, 2}, Arrangement{Method::kAllGather, 2}}) {
      Problem p = small(37, 41);
      p.causal = true;
      p.pass = pass;
      const Inputs in = data::make_inputs(p);
      const auto kernel = context_parallel(flash(), of);
      const auto plan = kernel->plan(p, one_thread(p), in);
      EXPECT_EQ(plan->workspace_bytes(), kernel->workspace_bytes(p, one_thread(p)));
      EXPECT_EQ(plan->flop_executed(), kernel->predicted_flop(p, one_thread(p)));
    }
}

Outputs launched(const Kernel& kernel, const Problem& p, const Inputs& in, int launches = 1) {
  Outputs out = data::make_outputs(p);
  out.poison();
  const auto plan = kernel.plan(p, one_thread(p), in);
  plan->prepare({&in, &out});
  for (int n = 0; n < launches; ++n) plan->launch({&in, &out});
  return out;
}

TEST(ContextParallel, LaunchesLeaveSomethingToTheNext) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kBoth}) {
    Problem p = small(45, 45);
    p.causal = true;
    p.pass = pass;
    const Inputs in = data::make_inputs(p);
    const auto kernel =
        context_parallel(flash(), {Method::kRing, 3, 1, 0, SequenceLayout::kZigzag});
    const Verdict v = oracle::verify(p, in, launched(*kernel, p, in, 3), VerifyLevel::kFull);
    EXPECT_TRUE(v.checked() && v.ok()) << name(pass) << ": " << described(v);
  }
}

TEST(ContextParallel, OneRankIsNotTheKernelItself) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
    Problem p = small(130, 130, dtype);
    p.causal = true;
    const Inputs in = data::make_inputs(p);
    const Outputs alone = launched(flash(), p, in);
    const Outputs one = launched(*context_parallel(flash(), {Method::kRing, 1}), p, in);
    for (const auto& [name, a, b] :
         {std::tuple{"o", &alone.o, &one.o}, std::tuple{"lse", &alone.lse, &one.lse},
          std::tuple{"dq", &alone.dq, &one.dq}, std::tuple{"dk", &alone.dk, &one.dk},
          std::tuple{"dv", &alone.dv, &one.dv}})
      EXPECT_EQ(std::memcmp(a->data(), b->data(), a->bytes()), 0) << name;
  }
}

}  // namespace
}  // namespace flashbench::distributed

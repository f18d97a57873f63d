// Windows leave keys that no query sees, and rows that begin anywhere.
#include <gtest/gtest.h>

#include <limits>

#include "oracle/verify.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// 37 queries with 20 keys before their own see the last 57 of 300.
TEST(Windows, WhatKeysHoldThatAWindowHidesFromAllChangesNothingAndTheirGradientsAreZero) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
    Problem p = problem({1, 2, 1, 37, 300, 8}, dtype, true);
    p.window_left = 20;
    Inputs in = host::random_inputs(p);
    const Outputs out = host::attention(p, in);
    for (std::int64_t n = 0; n < 243 * 8; ++n) in.k.set(n, kNan), in.v.set(n, kInf);
    for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
      const Reference reference(p, in, level);
      EXPECT_TRUE(reference.verify(out).ok()) << describe(reference.verify(out));
      Outputs wrong = host::attention(p, in);
      EXPECT_TRUE(reference.verify(wrong).ok()) << "host reads nothing of them";
      wrong.dk.set(242 * 8 + 3, 1e-30f);
      wrong.dv.set(100 * 8, 1e-30f);
      const Verdict v = reference.verify(wrong);
      EXPECT_FALSE(of(v, "dk").ok) << name(level);
      EXPECT_FALSE(of(v, "dv").ok) << name(level);
    }
  }
}

TEST(Windows, AWindowThatIsOffByAKeyFails) {
  for (const bool causal : {false, true})
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
      for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
        Problem p = problem({1, 2, 1, 300, 400, 16}, dtype, causal);
        p.window_left = 40;
        if (!causal) p.window_right = 30;
        const Inputs in = host::random_inputs(p);
        const Reference reference(p, in, level);
        EXPECT_TRUE(reference.verify(host::attention(p, in)).ok());
        for (const int more : {-1, 1}) {
          Problem other = p;
          *other.window_left += more;
          EXPECT_FALSE(reference.verify(host::attention(other, in)).ok()) << name(level);
          if (causal) continue;
          other = p;
          *other.window_right += more;
          EXPECT_FALSE(reference.verify(host::attention(other, in)).ok()) << name(level);
        }
      }
}

// Of 16k keys 1k are seen: what the others hold, exact zeros, says nothing of the noise of these.
TEST(Windows, SampleSeesAKeyTileOfAWindowThatNoSampleTouches) {
  Problem p = problem({1, 1, 1, 64, 16384, 16}, Dtype::kF32, true);
  p.window_left = 960;
  expect_sample_sees_zeroed_keys(p, 15900, 15964);
}

}  // namespace
}  // namespace flashbench::oracle

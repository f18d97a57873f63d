// What a problem is taken to ask for: a feature that goes unnoticed is computed wrong by kernels
// that do not know it.
#include "core/features.h"

#include <gtest/gtest.h>

namespace flashbench {
namespace {

TEST(Features, ADefaultProblemAsksForNothing) { EXPECT_EQ(used(Problem{}), Features{}); }

TEST(Features, WhatIsGivenButTheSameIsNotUsed) {
  Problem p;
  p.shape.own_d_v = p.shape.d;
  p.own_kv_dtype = p.dtype;
  EXPECT_EQ(used(p), Features{});
}

TEST(Features, EachIsNoticedByItself) {
  Problem p;
  p.causal = true;
  EXPECT_EQ(used(p), Features{Feature::kCausal});
  p = {};
  for (const PaddingMask mask : {PaddingMask::kRandom, PaddingMask::kFile}) {
    p.padding = mask;
    EXPECT_EQ(used(p), Features{Feature::kKeyMask}) << name(mask);
  }
  p = {};
  p.window_left = 0;
  EXPECT_EQ(used(p), Features{Feature::kWindow});
  p = {};
  p.window_right = 1 << 30;
  EXPECT_EQ(used(p), Features{Feature::kWindow});
  p = {};
  p.softcap = 1e-3;
  EXPECT_EQ(used(p), Features{Feature::kSoftcap});
  p.softcap = 0;
  p.sinks = Sinks::kFile;
  EXPECT_EQ(used(p), Features{Feature::kSinks});
  p.sinks = Sinks::kNone;
  p.bias = Bias::kFile;
  EXPECT_EQ(used(p), Features{Feature::kBias});
  p.bias_grad = true;
  EXPECT_EQ(used(p), Features{Feature::kBias}) << "a forward pass has no gradients";
  p.pass = Pass::kBoth;
  EXPECT_EQ(used(p), (Features{Feature::kGradients, Feature::kBias, Feature::kBiasGradient}));
  p.bias = Bias::kNone;
  EXPECT_EQ(used(p), Features{Feature::kGradients}) << "what is not there has none";
  p = {};
  for (const Pass pass : {Pass::kBackward, Pass::kBoth}) {
    p.pass = pass;
    EXPECT_EQ(used(p), Features{Feature::kGradients}) << name(pass);
  }
  p = {};
  p.shape.own_d_v = p.shape.d / 2;
  EXPECT_EQ(used(p), Features{Feature::kValueDim});
  p = {};
  p.own_kv_dtype = Dtype::kE4m3;
  EXPECT_EQ(used(p), Features{Feature::kKvDtype});
}

TEST(Features, EachHasAFlagOfItsOwn) {
  for (const Feature a : kEnumerators<Feature>)
    for (const Feature b : kEnumerators<Feature>) {
      EXPECT_TRUE(flag(a).starts_with("--"));
      EXPECT_EQ(flag(a) == flag(b), a == b) << flag(a);
    }
}

}  // namespace
}  // namespace flashbench

// A bias is added to the scores, and has a gradient of its own.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "oracle/chain.h"
#include "oracle/verify.h"
#include "system/error.h"
#include "tests/oracle/all_kinds.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Problem with_bias(const Shape& shape, Dtype dtype, bool causal,
                  BiasShape bias_shape = BiasShape::kHead) {
  Problem p = problem(shape, dtype, causal);
  p.bias = Bias::kRandom;
  p.bias_shape = bias_shape;
  p.bias_grad = true;
  return p;
}

constexpr BiasShape kShapes[] = {BiasShape::kShared, BiasShape::kHead, BiasShape::kBatch,
                                 BiasShape::kBatchAndHead};

TEST(Bias, RightResultsOfAllKindsOfInputsPassWithRoomToSpare) {
  for (const BiasShape shape : kShapes)
    for (const bool causal : {false, true})
      expect_room_to_spare(with_bias({2, 2, 1, 60, 75, 16}, Dtype::kF32, causal, shape),
                           std::string(name(shape)) + (causal ? ", causal" : ", full"));
}

TEST(Bias, RightResultsWithEverythingElsePassWithRoomToSpare) {
  Problem p = with_bias({2, 4, 2, 50, 65, 16, 24}, Dtype::kF32, true);
  p.softcap = 3, p.alibi = Alibi::kStandard, p.sinks = Sinks::kRandom;
  p.window_left = 30;
  p.padding = PaddingMask::kRandom;
  expect_room_to_spare(p, "with a soft cap, ALiBi, sinks, a window and padding");
}

TEST(Bias, InTheDtypeOfTheTensorsOrInF32) {
  for (const Dtype bias : {Dtype::kF32, Dtype::kBf16})
    for (const VerifyLevel level : kLevels) {
      Problem p = with_bias({2, 4, 2, 60, 50, 16}, Dtype::kBf16, false);
      p.own_bias_dtype = bias;
      const Inputs in = host::random_inputs(p);
      const Verdict v = Reference(p, in, level).verify(host::attention(p, in));
      EXPECT_TRUE(v.ok()) << name(bias) << "\n" << describe(v);
    }
}

TEST(Bias, EachWayToHaveItWrongIsNoticed) {
  using host::Defect;
  const struct {
    Defect defect;
    const char* tensor;
  } kWrong[] = {{Defect::kBiasLeftOut, "o"},
                {Defect::kBiasOfNextHead, "o"},
                {Defect::kBiasIgnoresInfinity, "o"},
                {Defect::kBiasGradientOfOneHead, "dbias"},
                {Defect::kBiasGradientSloped, "dbias"}};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const VerifyLevel level : kLevels) {
      Problem p = with_bias({2, 4, 2, 200, 150, 16}, dtype, true);
      p.softcap = 2;
      const Inputs in = host::random_inputs(p);
      const Reference reference(p, in, level);
      const Verdict right = reference.verify(host::attention(p, in));
      ASSERT_TRUE(right.ok()) << describe(right);
      for (const auto& [defect, tensor] : kWrong) {
        const Verdict v = reference.verify(host::attention(p, in, defect));
        EXPECT_FALSE(of(v, tensor).ok)
            << host::name(defect) << ", " << name(level) << ", " << name(dtype);
      }
    }
}

// Of a row that -inf hides whole nothing is left; of a pair, no gradient.
TEST(Bias, WhatInfinityHidesIsExact) {
  for (const VerifyLevel level : kLevels) {
    const Problem p = with_bias({1, 2, 2, 40, 30, 16}, Dtype::kF32, false);
    Inputs in = host::random_inputs(p);
    for (std::int64_t j = 0; j < 30; ++j) in.bias.set(in.bias.dims().index(0, 1, 7, j), -kInf);
    in.bias.set(in.bias.dims().index(0, 0, 20, 4), -kInf);
    const Outputs out = host::attention(p, in);
    const Reference reference(p, in, level);
    const Verdict v = reference.verify(out);
    EXPECT_TRUE(v.ok()) << describe(v);
    EXPECT_EQ(out.lse.at(0, 1, 7, 0), -kInf);
    const auto spoiled = [&](Tensor Outputs::*tensor, std::int64_t at) {
      Outputs wrong = host::attention(p, in);
      (wrong.*tensor).set(at, 1e-6f);
      return reference.verify(wrong);
    };
    EXPECT_FALSE(of(spoiled(&Outputs::dbias, out.dbias.dims().index(0, 0, 20, 4)), "dbias").ok);
    EXPECT_FALSE(of(spoiled(&Outputs::o, out.o.dims().index(0, 1, 7, 3)), "o").ok);
    EXPECT_FALSE(of(spoiled(&Outputs::lse, out.lse.dims().index(0, 1, 7, 0)), "lse").ok);
  }
}

TEST(Bias, WhatItHoldsForHiddenPairsChangesNothing) {
  for (const VerifyLevel level : kLevels) {
    Problem p = with_bias({1, 2, 1, 40, 40, 16}, Dtype::kF32, true);
    const Inputs clean = host::random_inputs(p);
    const Outputs out = host::attention(p, clean);
    Inputs in = host::random_inputs(p);
    for (std::int64_t h = 0; h < 2; ++h)
      for (std::int64_t i = 0; i < 40; ++i)
        for (std::int64_t j = i + 1; j < 40; ++j)
          in.bias.set(in.bias.dims().index(0, h, i, j), j % 2 == 0 ? NAN : kInf);
    const Verdict v = Reference(p, in, level).verify(out);
    EXPECT_TRUE(v.ok()) << describe(v);
  }
}

// A mask of the smallest number hides nothing where it is all there is: P are equal.
TEST(Bias, OfTheSmallestNumberMakesAllKeysEqual) {
  for (const VerifyLevel level : kLevels) {
    const Problem p = with_bias({1, 1, 1, 20, 40, 16}, Dtype::kF32, false);
    Inputs in = host::random_inputs(p);
    for (std::int64_t j = 0; j < 40; ++j)
      in.bias.set(in.bias.dims().index(0, 0, 3, j), -std::numeric_limits<float>::max());
    const Verdict v = Reference(p, in, level).verify(host::attention(p, in));
    EXPECT_TRUE(v.ok()) << describe(v);
    for (const ChainLink& link : check_gradient_chain(p, in)) EXPECT_TRUE(link.ok()) << link.name;
  }
}

TEST(Bias, AGradientThatNobodyAskedForIsRefused) {
  Problem p = with_bias({1, 2, 2, 40, 20, 16}, Dtype::kF32, true);
  const Inputs in = host::random_inputs(p);
  const Outputs out = host::attention(p, in);
  p.bias_grad = false;
  EXPECT_THROW(Reference(p, in, VerifyLevel::kFull).verify(out), UsageError);
}

}  // namespace
}  // namespace flashbench::oracle

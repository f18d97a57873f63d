#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/oracle/flavours.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

// What looks like an error and is rounding.
namespace flashbench::oracle {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Verify, HalfPrecisionOverflowIsRoundingAndNotAnError) {
  Problem p = problem({1, 1, 1, 1, 1, 2}, Dtype::kF16, false, Pass::kBackward);
  Inputs in = host::random_inputs(p);
  for (std::int64_t i = 0; i < 2; ++i) in.v.set(i, 65504);
  Outputs out = host::attention(p, in);
  EXPECT_TRUE(verify(p, in, out, VerifyLevel::kFull).ok());
  out.o.set(0, kInf);  // 65504 plus noise may round up
  EXPECT_TRUE(of(verify(p, in, out, VerifyLevel::kFull), "o").ok);
  out.o.set(0, -kInf);
  EXPECT_FALSE(of(verify(p, in, out, VerifyLevel::kFull), "o").ok);
}

TEST(Verify, WhatRoundingMayCarryBeyondTheDtypeMayBeInfiniteOnEitherSide) {
  Problem p = problem({1, 1, 1, 1, 1, 2}, Dtype::kF16, false, Pass::kBackward);
  const Inputs in = host::random_inputs(p);
  for (const double scale : {1.0, 1e12}) {  // dS is 0, but for rounding dP and D
    p.scale = scale;
    Outputs out = host::attention(p, in);
    EXPECT_TRUE(of(verify(p, in, out, VerifyLevel::kFull), "dq").ok);
    for (const float infinity : {kInf, -kInf}) {
      out.dq.set(1, infinity);
      EXPECT_EQ(of(verify(p, in, out, VerifyLevel::kFull), "dq").ok, scale > 1);
    }
  }
}

TEST(Verify, QueriesOfEqualResultsHaveEqualErrors) {
  Problem p = problem({1, 1, 1, 48, 48, 256}, Dtype::kF32, false, Pass::kForward);
  p.scale = 0;  // all rows are the mean of V, whatever their queries
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    p.seed = seed;
    const Inputs in = host::random_inputs(p);
    const Verdict v = verify(p, in, host::attention(p, in), VerifyLevel::kFull);
    EXPECT_LE(of(v, "o").error_over_noise, 0.75 * of(v, "o").limit) << seed;
  }
}

// dV = P·dO with P rounded to bf16, as matrix instructions take it: the products of one dO, whose
// mantissa is short, are all rounded up or all down.
TEST(Verify, ValuesGradientsOfOneQueryMayAllBeRoundedOneWay) {
  Problem p = problem({1, 1, 1, 1, 4096, 64}, Dtype::kBf16);
  const Shape& s = p.shape;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    p.seed = seed;
    const Inputs in = host::random_inputs(p);
    Outputs out = host::attention(p, in);
    Tensor weight(Dtype::kBf16, {1, 1, s.kv_len, 1});
    for (std::int64_t j = 0; j < s.kv_len; ++j) {
      double score = 0;
      for (std::int64_t c = 0; c < s.d; ++c)
        score += static_cast<double>(in.q.at(c)) * static_cast<double>(in.k.at(j * s.d + c));
      const double log_p = score * p.softmax_scale() - static_cast<double>(out.lse.at(0));
      weight.set(j, static_cast<float>(std::exp(log_p)));
      for (std::int64_t c = 0; c < s.d; ++c) out.dv.set(j * s.d + c, weight.at(j) * in.d_o.at(c));
    }
    const Verdict v = verify(p, in, out, VerifyLevel::kSample);
    const TensorVerdict& sums = of(v, "sum dV = sum dO");
    EXPECT_LE(sums.error_over_noise, 0.75 * sums.limit) << seed;
  }
}

// Equal queries share what P is off by, and it enters dS with the sign of dP - D; what dS is
// rounded by they do not share where dO differ. Taken for common, it grows as the queries do.
TEST(Verify, EqualQueriesBuyNoToleranceForTheGradientsOfOthersDo) {
  for (const std::int64_t kinds : {1, 2, 8})
    for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16})
      for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
        Problem p = problem({1, 1, 1, 300, 60, 16}, dtype);
        Inputs in = host::random_inputs(p);
        host::repeat_rows(in.q, kinds);
        Outputs out = host::attention(p, in);
        EXPECT_TRUE(verify(p, in, out, level).ok()) << kinds << describe(verify(p, in, out, level));
        for (std::int64_t i = 0; i < out.dk.count(); ++i) out.dk.set(i, out.dk.at(i) * 1.05f);
        EXPECT_FALSE(verify(p, in, out, level).ok()) << kinds << name(dtype) << name(level);
      }
}

// Level sample takes the noise of a row that it did not look at from what the row holds, too; where
// rows are equal, errors add up over all of them. One row must not claim both.
TEST(Verify, OneWrongRowAmongManyEqualOnesDoesNotExcuseItself) {
  const Problem p = problem({1, 1, 1, 4, 16384, 4}, Dtype::kBf16);
  Inputs in = host::random_inputs(p);
  host::repeat_rows(in.k, 1);
  Outputs out = host::attention(p, in);
  EXPECT_TRUE(verify(p, in, out, VerifyLevel::kSample).ok());
  for (const float factor : {1e3f, 1e6f}) {
    Outputs wrong = host::attention(p, in);
    for (std::int64_t c = 0; c < 4; ++c) {
      const std::int64_t at = wrong.dv.dims().index(0, 0, 12345, c);
      wrong.dv.set(at, factor * wrong.dv.at(at));
    }
    EXPECT_FALSE(verify(p, in, wrong, VerifyLevel::kSample).ok()) << factor;
  }
}

}  // namespace
}  // namespace flashbench::oracle

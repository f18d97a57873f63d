// What a kernel says that it rounds besides is in the noise of its results, and buys nothing else.
#include <gtest/gtest.h>

#include "oracle/verify.h"
#include "tests/oracle/all_kinds.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

constexpr ExtraRoundings kQueryHeads = {ExtraRounding::kQueryHeads};

/// The heads of `from`, each as often as a group has query heads.
Tensor repeated(const Tensor& from, std::int64_t group) {
  const Dims& d = from.dims();
  Tensor to(from.dtype(), {d.b, d.h * group, d.rows, d.d});
  const std::int64_t head = d.rows * d.d;
  for (std::int64_t i = 0; i < to.count(); ++i)
    to.set(i, from.at(i / head / group * head + i % head));
  return to;
}

/// Sums of a group's heads, of which each was rounded to its dtype.
Tensor added(const Tensor& from, std::int64_t group) {
  const Dims& d = from.dims();
  Tensor to(from.dtype(), {d.b, d.h / group, d.rows, d.d});
  const std::int64_t head = d.rows * d.d;
  for (std::int64_t i = 0; i < to.count(); ++i) {
    float sum = 0;
    for (std::int64_t g = 0; g < group; ++g)
      sum += from.at((i / head * group + g) * head + i % head);
    to.set(i, sum);
  }
  return to;
}

/// As PyTorch and cuDNN compute grouped heads: gradients of every query head in the tensors' dtype,
/// then their sums.
Outputs attention_by_query_head(const Problem& p, const Inputs& in) {
  const std::int64_t group = p.shape.group();
  Problem apart = p;
  apart.shape.h_kv = p.shape.h;
  Inputs of_heads;
  of_heads.q = repeated(in.q, 1), of_heads.d_o = repeated(in.d_o, 1);
  of_heads.k = repeated(in.k, group), of_heads.v = repeated(in.v, group);
  Outputs out = host::attention(apart, of_heads);
  out.dk = added(out.dk, group), out.dv = added(out.dv, group);
  return out;
}

Problem grouped(std::int64_t h_kv, Dtype dtype, bool causal) {
  Problem p = problem({1, 8, h_kv, 100, 110, 64}, dtype, causal);
  p.d_o = GradSource::kOnes;  // so that a row of dV is one number, off by one error
  return p;
}

TEST(ExtraRoundings, GradientsRoundedByQueryHeadAreRightWhereThatIsSaid) {
  bool some_are_refused = false;
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16})
    for (const std::int64_t h_kv : {1, 2, 4})
      for (const VerifyLevel level : kLevels) {
        const Problem p = grouped(h_kv, dtype, h_kv == 2);
        const Inputs in = host::random_inputs(p);
        const Outputs out = attention_by_query_head(p, in);
        const Verdict said = Reference(p, in, level, kQueryHeads).verify(out);
        EXPECT_TRUE(said.ok()) << name(dtype) << ", " << h_kv << "\n" << describe(said);
        for (const TensorVerdict& t : said.tensors) EXPECT_LT(t.error_over_noise, 1.6) << t.tensor;
        some_are_refused |= !Reference(p, in, level).verify(out).ok();
      }
  EXPECT_TRUE(some_are_refused) << "else nobody needs to say it";
}

TEST(ExtraRoundings, SomethingElseIsAsWrongAsBefore) {
  const Problem p = grouped(2, Dtype::kBf16, false);
  const Inputs in = host::random_inputs(p);
  const Reference reference(p, in, VerifyLevel::kFull, kQueryHeads);
  for (Tensor Outputs::*gradient : {&Outputs::dk, &Outputs::dv, &Outputs::dq}) {
    Outputs wrong = attention_by_query_head(p, in);
    Tensor& t = wrong.*gradient;
    for (std::int64_t i = 7; i < t.count(); i += t.dims().d) t.set(i, 1.02f * t.at(i));
    EXPECT_FALSE(reference.verify(wrong).ok()) << "a channel that is 2 % too large";
  }
}

TEST(ExtraRoundings, AloneAHeadIsRoundedOnce) {
  const Problem p = grouped(8, Dtype::kBf16, true);
  const Inputs in = host::random_inputs(p);
  const Outputs out = host::attention(p, in);
  const Verdict plain = Reference(p, in, VerifyLevel::kFull).verify(out);
  const Verdict said = Reference(p, in, VerifyLevel::kFull, kQueryHeads).verify(out);
  for (std::size_t i = 0; i < plain.tensors.size(); ++i)
    EXPECT_EQ(plain.tensors[i].error_over_noise, said.tensors[i].error_over_noise);
}

}  // namespace
}  // namespace flashbench::oracle

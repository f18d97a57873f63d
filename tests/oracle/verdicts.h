#pragma once

#include <gtest/gtest.h>

#include <string>

#include "oracle/verify.h"
#include "tests/oracle/host_attention.h"

/// Problems to judge, and what a verdict says.
namespace flashbench::oracle {

inline Problem problem(Shape shape, Dtype dtype = Dtype::kF32, bool causal = false,
                       Pass pass = Pass::kBackward) {
  Problem p;
  p.shape = shape;
  p.dtype = dtype;
  p.causal = causal;
  p.pass = pass;
  p.d_o = GradSource::kRandom;
  return p;
}

inline std::string describe(const Verdict& v) {
  std::string text;
  for (const TensorVerdict& t : v.tensors)
    text += t.tensor + " " + std::to_string(t.error_over_noise) + " " +
            std::string(flashbench::name(t.scope)) + (t.ok ? "\n" : " FAILED\n");
  return text;
}

inline const TensorVerdict& of(const Verdict& v, const std::string& tensor) {
  for (const TensorVerdict& t : v.tensors)
    if (t.tensor == tensor) return t;
  ADD_FAILURE() << "no verdict on " << tensor;
  return v.tensors.front();
}

/// A sample that touches none of these keys sees by the sums that their gradients are gone.
inline void expect_sample_sees_zeroed_keys(const Problem& p, std::int64_t first, std::int64_t end) {
  const Inputs in = host::random_inputs(p);
  Outputs out = host::attention(p, in);
  const Reference reference(p, in, VerifyLevel::kSample);
  EXPECT_TRUE(reference.verify(out).ok()) << describe(reference.verify(out));
  for (std::int64_t i = first * p.shape.d; i < end * p.shape.d; ++i) {
    out.dv.set(i, 0);
    out.dk.set(i, 0);
  }
  const Verdict v = reference.verify(out);
  EXPECT_FALSE(of(v, "sum dV = sum dO").ok) << describe(v);
  EXPECT_FALSE(of(v, "<Q,dQ> = <K,dK>").ok) << describe(v);
}

}  // namespace flashbench::oracle

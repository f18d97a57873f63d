#pragma once

#include <gtest/gtest.h>

#include <string>

#include "oracle/verify.h"

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

}  // namespace flashbench::oracle

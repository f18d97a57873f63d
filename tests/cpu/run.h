#pragma once

#include <gtest/gtest.h>

#include "data/inputs.h"
#include "kernel/kernel.h"

namespace flashbench::cpu {

/// Outputs of a problem, poisoned.
inline Outputs empty_outputs(const Problem& p) {
  Outputs out = data::make_outputs(p);
  out.poison();
  return out;
}

/// What a kernel computes; an element that it does not write is poison.
inline Outputs run(const Kernel& kernel, const Problem& p, const Execution& e, const Inputs& in) {
  Outputs out = empty_outputs(p);
  const auto plan = kernel.plan(p, e, in);
  EXPECT_EQ(plan->workspace_bytes(), kernel.workspace_bytes(p, e));
  const Operands io{&in, &out};
  plan->prepare(io);
  plan->launch(io);
  return out;
}

}  // namespace flashbench::cpu

#pragma once

#include <string>
#include <vector>

#include "app/check/check_report.h"
#include "core/problem.h"
#include "core/tensor.h"

namespace flashbench::app {

/// A problem on which the gradient chain is checked, as part of the suite.
struct ChainCase {
  std::string name;  ///< "gradient_chain/causal"
  Problem problem;
};

/// One per mask, and the head and length ratios that change how gradients are summed.
std::vector<ChainCase> chain_suite();

/// Every link of oracle::check_gradient_chain() as a case: automatic differentiation of both
/// formulations, the paper's manual backward, directional derivatives, each against the closed form
/// that judges the kernels. Their unit is the rounding noise of fp64.
std::vector<Checked> check_chain(const ChainCase& c, const Inputs& in);

}  // namespace flashbench::app

#pragma once

#include <string>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"
#include "core/verdict.h"

namespace flashbench::oracle {

/// One comparison of the gradient chain. Its verdicts are in units of the noise that fp64
/// arithmetic may show, which is the noise of f32 kernels at fp64's unit roundoff: 2^-29 of it.
struct ChainLink {
  std::string name;     ///< e.g. "autodiff of normal = closed form"
  std::string on;       ///< what it ran on, e.g. "dO = ones, copy cut to b 1, h 2, ..."
  std::string skipped;  ///< why it did not run; empty when it did
  std::vector<TensorVerdict> tensors;

  bool ran() const { return skipped.empty(); }
  bool ok() const {
    for (const TensorVerdict& t : tensors)
      if (!t.ok) return false;
    return true;
  }
};

/// The gradient chain up to the oracle: (1) reverse-mode automatic differentiation of normal
/// attention, (2) the same of the paper's flash attention, (3) the paper's manual backward in
/// double, and directional derivatives (dual numbers through the definition), each against
/// (4) the fp64 closed form, which in turn judges every kernel (verify.h).
///
/// Of a ragged batch its largest sequence is looked at.
///
/// With loss = sum(O) and with a random dO; at the size of the problem, except that automatic
/// differentiation, which tapes every operation, runs on a copy cut down to what takes a moment
/// (as do the others then, too). At full size the given dO is used (ones where `in` has none), and
/// what would take more than some seconds is reported as skipped.
std::vector<ChainLink> check_gradient_chain(const Problem& p, const Inputs& in);

}  // namespace flashbench::oracle

#pragma once

#include <memory>

#include "core/problem.h"
#include "core/roundings.h"
#include "core/tensor.h"
#include "core/verdict.h"

namespace flashbench::oracle {

/// auto: full when that takes about a second or less on these cores, else sample.
VerifyLevel choose_level(VerifyMode mode, const Problem& p);

/// Seconds that a Reference and its verdicts on `outputs` outputs take on these cores, about.
double verification_s(const Problem& p, VerifyLevel level, int outputs);

/// The oracle's answer to one problem, computed once and used for any number of outputs.
///
/// Level full: every element of every output in fp64.
/// Level sample: rows of O, LSE and dQ in fp64; rows of dK and dV in fp64 from the kernel's own LSE
/// and D = rowsum(dO∘O); over everything: written and finite, exact where nothing is visible, and
/// O between the extremes of V, and what must hold per K/V head in O(N·d) (identities.h): Σⱼ dV = Σ
/// dO, and with random vectors what ties Q, dQ to K, dK and O, dO to V, dV. Level none: nothing;
/// the verdict says that it was not checked.
class Reference {
 public:
  /// `in` must outlive this. Gradients are covered when in.d_o is not empty.
  /// `rounds`: what the kernel that is judged rounds beyond what every kernel must; the results
  /// stay the same, their noise grows.
  Reference(const Problem& p, const Inputs& in, VerifyLevel level, ExtraRoundings rounds = {});
  Reference(Reference&&) noexcept;
  Reference& operator=(Reference&&) noexcept;
  ~Reference();

  VerifyLevel level() const;

  /// Judges those of `out`'s tensors that are not empty. The level in the verdict is full where
  /// sample was asked for but `out` lacks the o and lse that sampling dK and dV starts from.
  /// Throws UsageError when nothing can be judged, when a shape is not the problem's, or when there
  /// are gradients but no dO.
  Verdict verify(const Outputs& out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Reference(p, in, level, rounds).verify(out).
Verdict verify(const Problem& p, const Inputs& in, const Outputs& out, VerifyLevel level,
               ExtraRoundings rounds = {});

}  // namespace flashbench::oracle

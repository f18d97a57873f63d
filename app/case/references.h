#pragma once

#include <optional>

#include "app/case/routing.h"
#include "core/tensor.h"
#include "oracle/verify.h"

namespace flashbench::app {

/// What of that matters to a problem.
ExtraRoundings that_matter(ExtraRoundings rounds, const Problem& p);

/// What the kernel of a case rounds beyond what every kernel must, as its maker says, where it
/// matters to the problem. Its results are judged with that in their noise.
ExtraRoundings extra_roundings(const RoutedCase& c, const Problem& p);

/// The references of one problem: one for all kernels that round alike, made when it is asked for,
/// in the place of the last one, since a whole one is large.
class References {
 public:
  /// `p` and `in` must outlive this.
  References(const Problem& p, const Inputs& in, VerifyLevel level)
      : problem_(p), inputs_(in), level_(level) {}

  /// Holds until the next call.
  const oracle::Reference& of(const RoutedCase& c);

 private:
  const Problem& problem_;
  const Inputs& inputs_;
  VerifyLevel level_;
  ExtraRoundings rounds_;
  std::optional<oracle::Reference> made_;
};

}  // namespace flashbench::app

#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "app/case/routing.h"
#include "core/tensor.h"
#include "oracle/verify.h"

namespace flashbench::app {

/// What the kernel of a case rounds beyond what every kernel must, as its maker says, where it
/// matters to the problem. Its results are judged with that in their noise.
ExtraRoundings extra_roundings(const RoutedCase& c, const Problem& p);

/// The references of one problem: one for all kernels that round alike, made when it is asked for.
class References {
 public:
  /// `p` and `in` must outlive this.
  References(const Problem& p, const Inputs& in, VerifyLevel level)
      : problem_(p), inputs_(in), level_(level) {}

  const oracle::Reference& of(const RoutedCase& c);

 private:
  const Problem& problem_;
  const Inputs& inputs_;
  VerifyLevel level_;
  std::vector<std::pair<ExtraRoundings, std::unique_ptr<oracle::Reference>>> made_;
};

}  // namespace flashbench::app

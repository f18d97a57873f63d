#pragma once

#include <cstdint>

#include "oracle/identities.h"

namespace flashbench::oracle {

/// What the LSE that a kernel wrote for one query head lack in all rows, by the sampled ones: what
/// tensor cores cut off the scores of 16-bit operands, or the largest of scores that are all off,
/// which is too large in most rows. A kernel's own P have no part in it: they come from the same
/// scores.
class LseError {
 public:
  LseError(const Definition& def, const Outputs& out, const SampledGroup& group, std::int64_t h);

  /// `lse` without it.
  double corrected(double lse) const { return (1 + shortfall_) * lse; }

 private:
  double shortfall_ = 0;  ///< relative; 0 where it may be chance, or more than such an error is
};

}  // namespace flashbench::oracle

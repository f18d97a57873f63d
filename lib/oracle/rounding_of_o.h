#pragma once

#include <cstdint>
#include <vector>

#include "oracle/identities.h"

namespace flashbench::oracle {

/// What rounding to the dtype adds to O of the rows of one query head, estimated from the sampled
/// ones: their mean and, as far as neighbours agree beyond it, what the nearest one has. Rows of O
/// that are nearly equal are rounded alike, all of them or those near each other.
class RoundingOfO {
 public:
  RoundingOfO(const Definition& def, const SampledGroup& group, std::int64_t h);

  /// What that adds to D = Σ dO·O of row i, whose dO is `d_o` [d_v].
  double shift(std::int64_t i, const Doubles& d_o) const;

 private:
  Doubles mean_;                    ///< [d_v]
  std::vector<std::int64_t> rows_;  ///< the sampled ones, ascending
  std::vector<Doubles> apart_;      ///< of each, what it has beyond the mean
  double agreement_ = 0;            ///< of neighbours, [0, 1]
};

}  // namespace flashbench::oracle

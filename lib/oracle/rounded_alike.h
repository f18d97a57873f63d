#pragma once

#include <cstddef>

#include "oracle/noise.h"
#include "oracle/panel.h"

namespace flashbench::oracle {

/// What rounding to the dtype does to a weighted sum of rows of a result. Where P is nearly the
/// same for all, so are rows of O, dV, dQ and dK: a channel's values lie in one cell of the dtype,
/// are all rounded up, or all down, and that adds up.
class RoundedAlike {
 public:
  /// One more row, as it was stored.
  void add(const Doubles& row, double weight);

  /// Of channel c: the share of the expected square of a row's error that all rows have in common.
  double share(std::size_t c, const Rounding& rounding) const;

  /// Of channel c: expected square of Σ weight·error, beyond what independent errors give it.
  double noise(std::size_t c, const Rounding& rounding) const;

 private:
  Doubles first_, sums_, squares_;  // the last two: of distances from the first row
  double rows_ = 0, weights_ = 0, weight_squares_ = 0;
};

/// The share of the expected square of a rounding error that values have in common whose stored
/// ones have this variance, in units of the squared distance of numbers.
double share_rounded_alike(double variance);

}  // namespace flashbench::oracle

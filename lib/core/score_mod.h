#pragma once

#include <cstdint>

#include "core/visible.h"

namespace flashbench {

struct Problem;

/// What becomes of a scaled score before softmax, and how the gradient passes back through it. The
/// identity is the only case today; a soft cap or a bias by position is a further one. T: float, or
/// a type of automatic differentiation.
struct ScoreMod {
  FB_HD constexpr bool is_identity() const { return true; }

  /// The score of query `q` and key `k` of query head `h`; `raw` = scale·q·k.
  template <class T>
  FB_HD constexpr T operator()(const T& raw, std::int32_t /*h*/, std::int32_t /*q*/,
                               std::int32_t /*k*/) const {
    return raw;
  }
  /// The derivative of `score` = (*this)(raw, ...) by `raw`.
  template <class T>
  FB_HD constexpr T gradient(const T& /*score*/, const T& /*raw*/) const {
    return T(1);
  }
};

/// What a problem asks to be done to its scores.
ScoreMod score_mod_of(const Problem& p);

}  // namespace flashbench

#pragma once

#include <cmath>
#include <cstdint>

#include "core/visible.h"

namespace flashbench {

struct Problem;

/// What becomes of a scaled score before softmax, and how the gradient passes back through it: a
/// soft cap, s <- softcap·tanh(s / softcap) (Gemma 2, section 2.2). A bias by position is a further
/// case. T: float, or a type of automatic differentiation.
struct ScoreMod {
  double softcap = 0;  ///< 0: none

  FB_HD constexpr bool is_identity() const { return softcap == 0; }

  /// The score of query `q` and key `k` of query head `h`; `raw` = scale·q·k.
  template <class T>
  FB_HD T operator()(const T& raw, std::int32_t /*h*/, std::int32_t /*q*/,
                     std::int32_t /*k*/) const {
    using std::tanh;
    return softcap > 0 ? T(T(softcap) * tanh(raw / T(softcap))) : raw;
  }
  /// The derivative of `score` = (*this)(raw, ...) by `raw`.
  template <class T>
  FB_HD T gradient(const T& /*score*/, const T& raw) const {
    using std::tanh;
    if (softcap == 0) return T(1);
    const T share = tanh(raw / T(softcap));
    return T(1) - share * share;
  }
};

/// What a problem asks to be done to its scores.
ScoreMod score_mod_of(const Problem& p);

}  // namespace flashbench

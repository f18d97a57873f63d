#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "core/visible.h"

namespace flashbench {

struct Problem;

/// What becomes of a scaled score of one query head before softmax, and how the gradient passes
/// back through it: a soft cap, s <- softcap·tanh(s / softcap) (Gemma 2, section 2.2), then ALiBi,
/// s <- s - slope·distance. A further bias by position is a further case. T: float, or a type of
/// automatic differentiation.
struct ScoreMod {
  double softcap = 0;         ///< 0: none
  double alibi_slope = 0;     ///< of the head; likewise
  std::int32_t diagonal = 0;  ///< the key on which query 0 is aligned

  FB_HD constexpr bool is_identity() const { return softcap == 0 && alibi_slope == 0; }

  /// The score of query `q` and key `k`; `raw` = scale·q·k.
  template <class T>
  FB_HD T operator()(const T& raw, std::int32_t q, std::int32_t k) const {
    using std::tanh;
    T s = raw;
    if (softcap > 0) s = T(T(softcap) * tanh(raw / T(softcap)));
    if (alibi_slope != 0) s -= T(alibi_slope * static_cast<double>(std::abs(q + diagonal - k)));
    return s;
  }
  /// The derivative of the score by `raw`.
  template <class T>
  FB_HD T gradient(const T& raw) const {
    using std::tanh;
    if (softcap == 0) return T(1);
    const T share = tanh(raw / T(softcap));
    return T(1) - share * share;
  }
};

/// What a problem asks to be done to the scores of a head whose ALiBi slope, if any, is that.
ScoreMod score_mod_of(const Problem& p, double alibi_slope);

}  // namespace flashbench

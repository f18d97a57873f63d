#pragma once

#include "oracle/autodiff.h"

namespace flashbench::oracle {

struct Slopes {
  double q = 0, k = 0, v = 0, bias = 0, sinks = 0;

  Slopes& operator+=(const Slopes& x) {
    q += x.q, k += x.k, v += x.v;
    bias += x.bias, sinks += x.sinks;
    return *this;
  }
};
/// Along the directions of Q, K, V, the bias and the sinks.
struct DirectionalDerivatives {
  Slopes slope;
  /// Expected squares of their errors beyond those of a gradient, were all this done in f32. Slopes
  /// of P sum to 0 but for rounding, which is multiplied by what all dP have in common; a gradient
  /// takes that off first, as D.
  Slopes noise;

  DirectionalDerivatives& operator+=(const DirectionalDerivatives& x) {
    slope += x.slope;
    noise += x.noise;
    return *this;
  }
};
/// q [heads, q_len, d]; k [kv_len, d]; v [kv_len, d_v]; bias [heads, q_len, kv_len] and sinks
/// [heads], null where there are none.
struct Directions {
  const double *q, *k, *v, *bias, *sinks;
};

/// How fast loss = Σ dO∘O moves when Q, K, V, the bias or the sinks alone move along their
/// direction: forward-mode differentiation of the fp64 definition. Dual numbers through softmax;
/// products by the product rule, as matrices. What a gradient must give as <gradient, direction>,
/// at a size that reverse mode cannot tape. In parallel over rows.
DirectionalDerivatives directional_derivatives(const Group& group, const Directions& way);

/// Products of n·d·kv_len multiply-adds that a row costs.
inline constexpr double kDirectionalProducts = 7;

}  // namespace flashbench::oracle

#pragma once

#include <array>

#include "oracle/autodiff.h"

namespace flashbench::oracle {

/// How fast loss = Σ dO∘O moves when Q, K, the sinks or V alone moves along its direction:
/// forward-mode differentiation of the fp64 definition. Dual numbers through softmax; products by
/// the product rule, as matrices. What a gradient must give as <gradient, direction>, at a size
/// that reverse mode cannot tape. q [heads, q_len, d]; k [kv_len, d]; v [kv_len, d_v]; sinks
/// [heads], null where there are none. In parallel over rows.
struct Directions {
  const double *q, *k, *v, *sinks;
};
struct Slopes {
  double q = 0, k = 0, v = 0, sinks = 0;
};
Slopes directional_derivatives(const Group& group, const Directions& way);

/// Products of n·d·kv_len multiply-adds that a row costs.
inline constexpr double kDirectionalProducts = 6;

}  // namespace flashbench::oracle

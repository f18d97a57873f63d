#pragma once

#include <array>

#include "oracle/autodiff.h"

namespace flashbench::oracle {

/// How fast loss = Σ dO∘O moves when Q, K or V alone moves along its direction: forward-mode
/// differentiation of the fp64 definition. Dual numbers through softmax; products by the product
/// rule, as matrices. What a gradient must give as <gradient, direction>, at a size that reverse
/// mode cannot tape. q_way [heads, q_len, d]; k_way, v_way [kv_len, d]. In parallel over rows.
std::array<double, 3> directional_derivatives(const Group& group, const double* q_way,
                                              const double* k_way, const double* v_way);

/// Products of n·d·kv_len multiply-adds that a row costs.
inline constexpr double kDirectionalProducts = 6;

}  // namespace flashbench::oracle

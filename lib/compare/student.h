#pragma once

namespace flashbench::compare {

/// Degrees of freedom of a spread that is known and not estimated: Student's t is then normal.
inline constexpr int kKnown = 0;

/// The t that a variable of Student's distribution exceeds with probability `tail` (0 < tail <
/// 0.5). `dof`: degrees of freedom, at least 1, or kKnown. Exact to some 1e-9.
double student_quantile(double tail, int dof);

}  // namespace flashbench::compare

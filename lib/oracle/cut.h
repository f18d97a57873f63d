#pragma once

#include "core/problem.h"
#include "core/tensor.h"

namespace flashbench::oracle {

/// A problem with inputs of its own.
struct OwnedCase {
  Problem problem;
  Inputs inputs;
};

/// The first rows, heads and columns of a problem, `shape` of them. Keeps mask, causal and an
/// explicit scale; a window becomes as much shorter as the keys; dO only where `in` has it.
OwnedCase cut(const Problem& p, const Inputs& in, const Shape& shape);

/// The largest of the shapes reached by halving lengths (alike, so that a causal mask keeps its
/// form) that automatic differentiation tapes in a moment; `s` itself where it does.
Shape tapeable(const Shape& s);

/// The sequence of a ragged batch that has the most pairs.
std::int64_t largest_sequence(const Shape& s);

/// `in` with another dO: ones, or normal numbers of a fixed seed.
void fill_d_o(const Problem& p, GradSource source, Inputs& in);

}  // namespace flashbench::oracle

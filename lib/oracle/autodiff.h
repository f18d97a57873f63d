#pragma once

#include <cstdint>

#include "oracle/panel.h"
#include "paper/head.h"

namespace flashbench::oracle {

/// One K/V head and the query heads that share it, in double.
struct Group {
  paper::Head head;
  std::int64_t heads;     ///< query heads
  const double *q, *d_o;  ///< [heads, q_len, d]
  const double *k, *v;    ///< [kv_len, d]
};

struct GroupGradients {
  Doubles dq;      ///< [heads, q_len, d]
  Doubles dk, dv;  ///< [kv_len, d]
};

enum class Formulation {
  kNormal,  ///< the definition: scores, softmax, weighted values
  kFlash,   ///< FlashAttention-1's forward as the paper writes it
};

/// Gradients of loss = Σ dO∘O by reverse-mode automatic differentiation (ADOL-C) of a formulation.
/// All in memory: no tape files. One at a time: ADOL-C is not thread-safe, so calls wait for each
/// other. Throws std::runtime_error when ADOL-C reports that the tape does not hold (a branch that
/// switched) or did not stay in memory.
GroupGradients differentiate(const Group& group, Formulation formulation);

/// Operations that differentiate() would record, about 25 bytes and 50 ns each.
double tape_operations(const paper::Head& head, std::int64_t heads);

}  // namespace flashbench::oracle

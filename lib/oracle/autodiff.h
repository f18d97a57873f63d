#pragma once

#include <cstdint>

#include "oracle/literal_head.h"
#include "oracle/panel.h"
#include "paper/head.h"

namespace flashbench::oracle {

/// One K/V head and the query heads that share it, in double.
struct Group {
  const Definition* def;
  std::int64_t b, h_kv;
  const double *q, *d_o;          ///< [heads, q_len, d], [heads, q_len, d_v]
  const double *k, *v;            ///< [kv_len, d], [kv_len, d_v]
  const double* sinks = nullptr;  ///< [heads]; null where there are none
  const double* bias = nullptr;   ///< [heads, q_len, kv_len], 0 where a pair is hidden; likewise
  const float* hides = nullptr;   ///< likewise, as it is: where -inf hides

  const Shape& shape() const { return def->shape(); }
  std::int64_t heads() const { return shape().group(); }
  LiteralHead head(std::int64_t g) const { return {def, b, h_kv * heads() + g}; }
};

/// Head g of the group for the algorithms of `paper`, in blocks of so many queries and keys.
paper::Head paper_head(const Group& group, std::int64_t g, std::int64_t block);

struct GroupGradients {
  Doubles dq;      ///< [heads, q_len, d]
  Doubles dk, dv;  ///< [kv_len, d], [kv_len, d_v]
  Doubles dsinks;  ///< [heads]; empty where there are none
  Doubles dbias;   ///< [heads, q_len, kv_len]; likewise
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

/// Operations that differentiate() would record for a group of this shape, about 25 bytes and 50 ns
/// each.
double tape_operations(const Shape& s, std::int64_t kv_block);

}  // namespace flashbench::oracle

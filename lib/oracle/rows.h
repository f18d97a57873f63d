#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "oracle/definition.h"
#include "oracle/panel.h"

namespace flashbench::oracle {

/// What one query row passes on to the gradients of K and V.
struct RowStats {
  double lse = 0;    ///< natural log-sum-exp; -inf for an empty row
  double d = 0;      ///< D = rowsum(dO∘O)
  double v = 0;      ///< relative noise of P in this row
  double a = 0;      ///< rowsum(P∘(|dO||V|ᵀ))
  double delta = 0;  ///< expected error of D: rss_c(dO·s_O)
  bool empty = true;
};

/// fp64 results of some query rows of one head, with the noise that a correct kernel may show:
/// per row, the largest over its elements.
struct RowResults {
  Doubles o;                             ///< [rows, d_v]
  Doubles dq;                            ///< [rows, d]; only with gradients
  Doubles lse;                           ///< [rows]
  Doubles noise_o, noise_lse, noise_dq;  ///< [rows]; 0 for an empty row: it must be exact
  std::vector<RowStats> stats;           ///< [rows]
};

/// Rows `which` of query head h of batch element b, by the definition: all scores of a row, their
/// maximum, softmax, and the closed-form gradient dQ = scale·dS·K, dS = P∘(dP - D)∘slope.
/// Needs about 24·kv_len bytes a row while it runs, twice that with gradients.
RowResults compute_rows(const Definition& def, std::int64_t b, std::int64_t h,
                        std::span<const std::int64_t> which);

/// How many rows compute_rows should be given at a time, so that its scores stay small.
std::int64_t row_block(const Shape& shape);

/// Products of n·d·kv_len multiply-adds that one row costs, for choose_level.
constexpr double row_products(bool gradients) { return gradients ? 11 : 5; }

}  // namespace flashbench::oracle

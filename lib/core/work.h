#pragma once

#include <cstdint>
#include <span>

#include "core/problem.h"

namespace flashbench {

/// What of a problem its masks leave visible, counted exactly.
struct VisibleCount {
  double pairs = 0;    ///< (query head, query, key) triples that count, over all batches
  double kv_rows = 0;  ///< (batch, K/V head, key) rows that some query sees
};

/// FLOP and bytes of a problem. A product of n pairs costs 2·n times the dimension that it sums
/// over or makes: the forward has one of d (S) and one of d_v (O), the backward three of d (S, dQ,
/// dK) and two of d_v (dP, dV), so that with d_v = d backward = 2.5 x forward. Query heads count,
/// not K/V heads.
struct Work {
  double flop_dense = 0;    ///< nothing masked
  double flop_visible = 0;  ///< true count of visible pairs
  double bytes = 0;         ///< every operand moved once, K and V rows that some query sees
};

inline constexpr std::string_view kFlopConvention =
    "4*b*h*q*k*d forward, 10 backward, visible pairs";

/// What a pass costs, from what a forward and a backward cost.
constexpr double of_pass(Pass pass, double forward, double backward) {
  switch (pass) {
    case Pass::kForward:
      return forward;
    case Pass::kBackward:
      return backward;
    case Pass::kBoth:
      return forward + backward;
  }
  no_such_enumerator();
}

/// FLOP per visible pair: with d_v = d 4·d forward, 10·d backward, 14·d both.
constexpr double flop_per_pair(Pass pass, const Shape& s) {
  const double d = static_cast<double>(s.d), d_v = static_cast<double>(s.d_v());
  return of_pass(pass, 2 * d + 2 * d_v, 6 * d + 4 * d_v);
}

/// Of (query head, query, key) triples over all batches, as if nothing were masked.
double all_pairs(const Shape& s);

/// `key_mask` is [b, kv_len], or empty when nothing is padded.
VisibleCount count_visible(const Problem& p, std::span<const std::uint8_t> key_mask);

/// The same before the mask exists: a random mask counts at its expectation.
VisibleCount expected_visible(const Problem& p);

Work count_work(const Problem& p, const VisibleCount& visible);

/// Bytes of each tensor, whole; a gradient is as large as what it is the gradient of.
struct TensorBytes {
  std::size_t q, k, v, o, lse;
};
TensorBytes tensor_bytes(const Problem& p);

/// Bytes of the operands that the program itself holds: inputs with dO and the mask, and outputs.
struct OperandBytes {
  std::size_t inputs = 0, outputs = 0;

  std::size_t total() const { return inputs + outputs; }
};
OperandBytes operand_bytes(const Problem& p);

}  // namespace flashbench

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

/// FLOP and bytes of a problem. A product of n pairs costs 2·n·d; the forward has 2 of them, the
/// backward 5, so that backward = 2.5 x forward. Query heads count, not K/V heads.
struct Work {
  double flop_dense = 0;    ///< nothing masked
  double flop_visible = 0;  ///< true count of visible pairs
  double bytes = 0;         ///< every operand moved once, K and V rows that some query sees
};

inline constexpr std::string_view kFlopConvention =
    "4*b*h*q*k*d forward, 10 backward, visible pairs";

/// FLOP per (pair, dim): 4 forward, 10 backward, 14 both.
constexpr double flop_per_pair_dim(Pass pass) {
  return pass == Pass::kForward ? 4.0 : pass == Pass::kBackward ? 10.0 : 14.0;
}

/// `key_mask` is [b, kv_len], or empty when nothing is padded.
VisibleCount count_visible(const Problem& p, std::span<const std::uint8_t> key_mask);

/// The same before the mask exists: a random mask counts at its expectation.
VisibleCount expected_visible(const Problem& p);

Work count_work(const Problem& p, const VisibleCount& visible);

/// Bytes of the operands that the program itself holds: inputs, dO, outputs.
std::size_t operand_bytes(const Problem& p);

}  // namespace flashbench

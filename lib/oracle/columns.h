#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "oracle/definition.h"
#include "oracle/panel.h"
#include "oracle/rows.h"

namespace flashbench::oracle {

/// fp64 gradients of some keys of one K/V head, with their noise per key.
struct ColumnResults {
  Doubles dk, dv;              ///< [keys, d], [keys, d_v]
  Doubles noise_dk, noise_dv;  ///< [keys]; 0 for a key that no query sees: it must be exact
};

/// Keys `which` of K/V head h_kv of batch element b, by the closed form:
/// P = exp(S - LSE), dV = PᵀdO, dK = scale·dSᵀ·Q, dS = P∘(dP - D)∘slope, summed over the query
/// heads of the group. `stats` [group, q_len]: of the query rows of the group's heads, in order.
ColumnResults compute_columns(const Definition& def, std::int64_t b, std::int64_t h_kv,
                              std::span<const std::int64_t> which, std::span<const RowStats> stats);

/// kappa (the largest score_noise over `keys`) of every query row of a group: [group, q_len]. What
/// the rows themselves give when all keys are looked at, from a few keys.
Doubles estimate_kappa(const Definition& def, std::int64_t b, std::int64_t h_kv,
                       std::span<const std::int64_t> keys);

/// Products of n·d·q_len multiply-adds that one key costs for each head of its group.
inline constexpr double kColumnProducts = 9;

}  // namespace flashbench::oracle

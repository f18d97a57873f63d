#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "oracle/definition.h"
#include "oracle/panel.h"
#include "oracle/rows.h"

namespace flashbench::oracle {

/// fp64 gradients of some keys of one K/V head.
struct ColumnResults {
  Expected dk, dv;  ///< [keys, d], [keys, d_v]; a key that no query sees must be exact
};

/// Keys `which` of K/V head h_kv of batch element b, by the closed form:
/// P = exp(S - LSE), dV = PᵀdO, dK = scale·dSᵀ·Q, dS = P∘(dP - D)∘slope, summed over the query
/// heads of the group. `head`: of the K/V head. `stats` [group, q_len]: of the query rows of the
/// group's heads, in order.
ColumnResults compute_columns(const Definition& def, const HeadDirections& head, std::int64_t b,
                              std::int64_t h_kv, std::span<const std::int64_t> which,
                              std::span<const RowStats> stats);

/// Products of n·d·q_len multiply-adds that one key costs for each head of its group.
inline constexpr double kColumnProducts = 8;

}  // namespace flashbench::oracle

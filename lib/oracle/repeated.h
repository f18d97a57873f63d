#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "oracle/definition.h"
#include "oracle/panel.h"
#include "oracle/rows.h"

namespace flashbench::oracle {

/// Calls step(query head's place in the group, query head, rows) for every tile of the query rows
/// of a group.
template <typename Step>
void for_query_tiles(const Shape& shape, std::int64_t h_kv, Step step) {
  const std::int64_t tile = std::clamp<std::int64_t>(8192 / shape.widest_d() / 24 * 24, 24, 192);
  std::vector<std::int64_t> rows;
  for (std::int64_t g = 0; g < shape.group(); ++g)
    for (std::int64_t i0 = 0; i0 < shape.q_len; i0 += tile) {
      rows.resize(static_cast<std::size_t>(std::min(tile, shape.q_len - i0)));
      std::iota(rows.begin(), rows.end(), i0);
      step(g, h_kv * shape.group() + g, rows);
    }
}

/// What the query rows of a group hold (Panel::hash) of which there are several.
struct Repeated {
  std::unordered_set<std::uint64_t> q, rows;  ///< of Q; of Q and dO
  double different_q = 0, different_rows = 0;
  /// dO that many of the queries have that see something, up to eight kinds: all of the loss
  /// sum(O), or of one that leaves some of them out.
  std::vector<std::uint64_t> d_o;

  /// Rows whose Q are so alike that they have one O, with all that it is off by: equal ones, and in
  /// 16 bits those whose P nearly all round alike.
  struct Kind {
    Doubles q;    ///< of one of them; empty: they are equal
    Doubles d_o;  ///< the sum of theirs
  };
  std::unordered_map<std::uint64_t, Kind> of_one_o;
  double near = 0;  ///< squared distance of the Q of two such rows

  /// Of a row of Q the key in of_one_o; 0: others are not like it.
  std::uint64_t kind(std::span<const double> row) const;
  /// The cosine between row, of dO, and the mean of those that others of its kind have: what O is
  /// off by, D is off by alike where dO are alike. 0 where there are no others.
  double alignment(std::uint64_t kind, std::span<const double> row) const;
};
Repeated find_repeated(const Definition& def, std::int64_t b, std::int64_t h_kv,
                       std::span<const RowStats> stats);

}  // namespace flashbench::oracle

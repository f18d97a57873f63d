#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "oracle/definition.h"
#include "oracle/mostly_equal.h"
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
  /// Rows of dO of queries that see something, as of the loss sum(O), or of one that leaves some of
  /// them out; and in f32 rows of Q.
  MostlyEqual d_o, mostly_q;

  /// Rows whose Q are so alike that they have one O, with all that it is off by: equal ones, and in
  /// 16 bits those whose P nearly all round alike. That they may not see the same keys is not
  /// looked at: where they do not, this allows for more than there is.
  struct Kind {
    Doubles d_o;         ///< the sum of theirs
    double squares = 0;  ///< the sum of its squares
  };
  std::unordered_map<std::uint64_t, Kind> of_one_o;
  std::vector<Doubles> near_q;  ///< of each kind of rows that are alike, Q of one
  double near = 0;              ///< squared distance of the Q of two such rows

  /// Of a row of Q the key in of_one_o; nullopt: others are not like it.
  std::optional<std::uint64_t> kind(std::span<const double> row) const;
  /// How far a row of dO goes the way of those of its kind, [-1, 1]: what O is off by, D is off by
  /// alike where dO are alike. 0 where these cancel.
  double alignment(std::uint64_t kind, std::span<const double> row) const;
};
Repeated find_repeated(const Definition& def, std::int64_t b, std::int64_t h_kv,
                       std::span<const RowStats> stats);

}  // namespace flashbench::oracle

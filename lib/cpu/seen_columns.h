#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "cpu/blocks.h"

// What products leave out of a tile of P or dS, of which each row of queries sees a range of keys.
namespace flashbench::cpu {

struct TileOps;

/// What the rows of queries of a tile see of its columns, the keys: row i [begin[i], end[i]),
/// neither of which falls from row to row. Elsewhere the tile is 0. Empty: begin is 0, end the last
/// column.
struct SeenColumns {
  std::span<const std::int64_t> begin, end;

  bool all() const { return begin.empty() && end.empty(); }
};

/// The first columns of a register tile at (i, j) that some of its rows see: whole vectors from
/// column j on.
inline std::int64_t columns_to_compute(const SeenColumns& seen, std::int64_t i, std::int64_t rows,
                                       std::int64_t j, std::int64_t columns, std::int64_t lanes) {
  if (!seen.begin.empty() && seen.begin[static_cast<std::size_t>(i)] >= j + columns) return 0;
  if (seen.end.empty()) return columns;
  const std::int64_t end = seen.end[static_cast<std::size_t>(i + rows - 1)];
  return end <= j ? 0 : std::min(columns, round_up(end - j, lanes));
}

/// The words of an A operand, a tile or its transpose, in which some of its rows are not 0.
class SeenWords {
 public:
  struct Range {
    std::int64_t begin, end;
  };

  SeenWords(const SeenColumns& seen, bool transposed, std::int64_t per_word)
      : seen_(seen), transposed_(transposed), per_word_(per_word) {}

  /// Rows [i, i + rows) of A[m][k]. Calls go through A in ascending order, any number of times.
  Range of_rows(std::int64_t i, std::int64_t rows, std::int64_t k) {
    if (seen_.all()) return {0, k};
    const Range elements = transposed_ ? queries(i, i + rows) : keys(i, i + rows);
    const std::int64_t end =
        elements.end == kAll ? k : std::min(k, blocks(elements.end, per_word_));
    return {std::min(elements.begin / per_word_, end), end};
  }

 private:
  static constexpr std::int64_t kAll = -1;

  /// Keys that some of the queries [first, end) see.
  Range keys(std::int64_t first, std::int64_t end) const {
    return {seen_.begin.empty() ? 0 : seen_.begin[static_cast<std::size_t>(first)],
            seen_.end.empty() ? kAll : seen_.end[static_cast<std::size_t>(end - 1)]};
  }
  /// Queries that see some of the keys [first, end).
  Range queries(std::int64_t first, std::int64_t end) {
    if (first == 0) first_query_ = end_query_ = 0;
    while (first_query_ < seen_.end.size() && seen_.end[first_query_] <= first) ++first_query_;
    while (end_query_ < seen_.begin.size() && seen_.begin[end_query_] < end) ++end_query_;
    return {static_cast<std::int64_t>(first_query_),
            seen_.begin.empty() ? kAll : static_cast<std::int64_t>(end_query_)};
  }

  SeenColumns seen_;
  bool transposed_;
  std::int64_t per_word_;
  std::size_t first_query_ = 0, end_query_ = 0;
};

/// Pairs of a query and a key, of a tile of m x n, for which the products compute something: its
/// elements, the product with rows of keys, and that of its transpose with rows of queries.
struct ComputedPairs {
  std::int64_t elements, by_row, by_column;
};
ComputedPairs computed_pairs(const TileOps& ops, const SeenColumns& seen, std::int64_t m,
                             std::int64_t n);

}  // namespace flashbench::cpu

#include "cpu/seen_columns.h"

#include "cpu/tile_ops.h"

namespace flashbench::cpu {
namespace {

/// Elements of an A operand of m rows that its product reads.
std::int64_t elements_read(const TileOps& ops, SeenWords seen, std::int64_t m, std::int64_t k) {
  std::int64_t elements = 0;
  for (std::int64_t i = 0; i < m; i += ops.rows) {
    const std::int64_t rows = std::min<std::int64_t>(ops.rows, m - i);
    const auto [begin, end] = seen.of_rows(i, rows, ops.words(k));
    elements += rows * (std::min(k, end * ops.per_word) - begin * ops.per_word);
  }
  return elements;
}

}  // namespace

ComputedPairs computed_pairs(const TileOps& ops, const SeenColumns& seen, std::int64_t m,
                             std::int64_t n) {
  if (seen.all()) return {m * round_up(n, ops.lanes), m * n, m * n};
  ComputedPairs pairs{0, elements_read(ops, {seen, false, ops.per_word}, m, n),
                      elements_read(ops, {seen, true, ops.per_word}, n, m)};
  for (std::int64_t i = 0; i < m; i += ops.rows) {
    const std::int64_t rows = std::min<std::int64_t>(ops.rows, m - i);
    for (std::int64_t j = 0; j < n; j += ops.cols) {
      const std::int64_t columns = std::min<std::int64_t>(ops.cols, round_up(n - j, ops.lanes));
      pairs.elements += rows * columns_to_compute(seen, i, rows, j, columns, ops.lanes);
    }
  }
  return pairs;
}

}  // namespace flashbench::cpu

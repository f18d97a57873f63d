#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "oracle/definition.h"
#include "oracle/expected.h"
#include "oracle/reference.h"
#include "oracle/rows.h"
#include "oracle/sums.h"

namespace flashbench::oracle {

/// The gradient of the sink of one query head, -Σ exp(sink - LSE)·D over the rows of all batch
/// elements, and what it may be off by.
class SinkGradient {
 public:
  SinkGradient(const Definition& def, std::int64_t h)
      : rounding_(def.problem().dtype), sink_(*def.sink(h)) {}

  /// A row of batch element b.
  void add(std::int64_t b, const RowStats& row);
  /// Sets element n of `into`.
  void expect(std::size_t n, Expected& into) const;

 private:
  Rounding rounding_;
  double sink_;
  std::int64_t rows_ = 0;
  double value_ = 0, low_ = 0, high_ = 0, squares_ = 0;
  double shift_ = 0, lost_ = 0;
  double alike_ = 0;  ///< where P of a row are rounded alike, those of the next row are, too
  // By what rows have in common, their scores, or LSE and D: equal ones are off by the same, and
  // that adds up.
  std::unordered_map<std::uint64_t, double> errors_;
};

/// The statistics [b, h, q_len] of a problem, or of one sequence of a ragged batch.
struct SinkRows {
  const Definition* def;
  std::int64_t first_b;  ///< its batch elements are those from there on
  std::vector<RowStats> stats;
};
SinkRows sink_rows(const Definition& def, std::int64_t first_b,
                   const std::vector<RowPart>& all_rows);

/// Of all heads, [h, 1]. Nothing without sinks or without dO.
Expected expect_sink_gradients(const std::vector<SinkRows>& of_all);

}  // namespace flashbench::oracle

#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "oracle/noise.h"
#include "oracle/panel.h"
#include "oracle/row_rounding.h"

namespace flashbench::oracle {

/// Rows of expected results and the noise that a correct kernel may show.
struct Expected {
  std::int64_t d = 0;        ///< elements of a row
  Doubles value;             ///< [rows, d]
  std::vector<Noise> noise;  ///< [rows, d]; 0 where the result must be exact
  /// [rows]: by how much the mean square of a row's computed errors may exceed the expected one.
  /// They depend on each other: an error of one P moves all of O's row, an error of D all of dQ's.
  Doubles excess;
  /// How many independent errors there may be in what is common to all rows: each key has a part in
  /// the errors of each query.
  double independent = std::numeric_limits<double>::infinity();

  /// [rows]: the share of a row's computed noise that all rows of the head may have in common.
  /// Empty: none.
  Doubles shared;
  double shared_excess = kMostOfAlike;  ///< how often its expected square that may be
  RowRounding rounding;                 ///< of P, in O: that may be as often

  /// [rows]: rows of equal numbers have errors in common, as have rows of equal values; may be
  /// empty.
  std::vector<std::uint64_t> alike;

  Expected() = default;
  Expected(std::int64_t rows, std::int64_t columns)
      : d(columns),
        value(static_cast<std::size_t>(rows * columns)),
        noise(value.size()),
        excess(static_cast<std::size_t>(rows), 1.0) {}

  /// More rows of as many elements, of the same tensor.
  void append(const Expected& rows);
  /// alike[n], or where there is none, values_hash(n).
  std::uint64_t hash(std::size_t n) const;
  /// A number made from the values of row n, as f32.
  std::uint64_t values_hash(std::size_t n) const;
  /// How many values row n has, as f32: equal ones have equal errors.
  double distinct(std::size_t n) const;
};

}  // namespace flashbench::oracle

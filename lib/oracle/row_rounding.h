#pragma once

#include <cstdint>

#include "oracle/noise.h"
#include "oracle/panel.h"

namespace flashbench::oracle {

/// How far the rows of P of a head are rounded alike, so that O of all of them is off by the same:
/// rows of nearly equal P are, in every cell of the dtype. Added up over blocks of rows.
struct RowRounding {
  double alike = 0, pairs = 0;  ///< Σ of the squared correlation of what two rows are rounded by
  double cells = 0, rows = 0;   ///< Σ of the cells that have a part in what a row is off by

  void add(const RowRounding& other);
  /// How many independent patterns of rounding the rows have; infinite where nothing is known.
  double independent() const;
  /// How often its expected square may what the terms of a cell have in common be, in the mean over
  /// rows: one rounding is bounded, that of few cells by as many times its bound, and many are
  /// nearly normal, in as many patterns. At least kMostOfAlike.
  double excess() const;
};

/// Of some of the `rows` rows of P, [rows, keys], all pairs.
RowRounding row_rounding(const Rounding& rounding, const Doubles& p, std::int64_t rows,
                         std::int64_t keys);

}  // namespace flashbench::oracle

#pragma once

#include <cstdint>

#include "core/visible.h"

namespace flashbench {

/// Where the keys of one batch element lie, by their numbers: number i is row(i) of K and V. Rows
/// from `first` on, or those that a table names: the kept keys of a padding mask, keys in pages.
struct RowMap {
  std::int32_t first = 0;
  const std::int32_t* rows = nullptr;  ///< [count]; null: first, first + 1, ...

  FB_HD constexpr std::int64_t row(std::int64_t i) const {
    return rows == nullptr ? first + i : rows[i];
  }
  /// The map of the keys from number `i` on.
  FB_HD constexpr RowMap from(std::int64_t i) const {
    return {rows == nullptr ? first + static_cast<std::int32_t>(i) : 0,
            rows == nullptr ? nullptr : rows + i};
  }
};

}  // namespace flashbench

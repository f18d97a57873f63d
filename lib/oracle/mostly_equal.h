#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "oracle/panel.h"

namespace flashbench::oracle {

/// Kinds of rows that are equal in most of their channels. Products of such rows with one vector
/// are added up with the same rounding, term by term, but for where they differ: a sum is a
/// multiple of its last place, so that only the term says what is rounded off, while the exponent
/// stays.
class MostlyEqual {
 public:
  /// First, some of the rows; then choose() keeps kinds that an eighth of them belong to.
  void note(std::span<const double> row);
  void choose();

  struct Place {
    int kind = -1;     ///< below kinds(); -1: none
    double share = 0;  ///< of the row's square that lies where it is as others of the kind
  };
  Place of(std::span<const double> row) const;
  std::size_t kinds() const { return kinds_.size(); }

 private:
  struct Kind {
    Doubles row;
    int count;
  };
  std::vector<Kind> kinds_;
  int noted_ = 0;
};

}  // namespace flashbench::oracle

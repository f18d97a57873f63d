#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "oracle/noise.h"

namespace flashbench::oracle {

/// At most `most` of the numbers [0, count), ascending: one of each of as many intervals, wherever
/// in it, since what lies at equal distances may be of one kind.
std::vector<std::int64_t> some_of(std::int64_t count, std::int64_t most);

/// Weights of a sum by the cell of the dtype that they are rounded in: weights of one cell that is
/// narrow next to them are rounded alike. In f32 there are none.
///
/// A cell that many of them lie in is *common*. How its terms add up may have nothing to do with
/// what becomes of the sum: queries of two kinds have two P, and dO that differ in sign cancel in
/// dV, but what rounding does to one kind and to the other does not. So whoever makes the sum keeps
/// those of common cells apart (`slot`); of all others `alike()` knows their share of the sum.
class Cells {
 public:
  static constexpr int kMostCommon = 16;

  explicit Cells(const Rounding& rounding) : rounding_(rounding) {}

  /// First, some of the weights or all of them; then choose() says which cells are common: those
  /// that hold a sixteenth of them, and two at least.
  void note(double weight);
  void choose();

  /// Then all weights. Returns slot().
  int add(double weight);
  /// Which of the common cells, below kMostCommon; -1: none of them.
  int slot(double weight) const;
  bool any_common() const { return !common_.empty(); }

  /// Expected square of the relative error that rounding gives to the sum of the terms of a common
  /// cell, beyond that of independent errors.
  double alike(std::size_t of_slot) const;
  /// The same that all other cells give to a sum with weights of equal value. Of dS, those of
  /// either sign are apart.
  double alike() const;
  /// The same of common cells, too.
  double alike_of_all() const;
  /// How many cells have a part in the sum, where these are of one size.
  double several() const;

 private:
  struct Common {
    std::uint64_t cell;
    double sum, squares;
  };
  static constexpr int kLog2 = 9;
  double relative(double together) const;

  Rounding rounding_;
  std::vector<std::uint64_t> noted_;
  std::vector<Common> common_;
  std::array<double, 1 << kLog2> sums_{};  // cells that share an entry are taken for one
  double squares_ = 0, total_ = 0;         // total: of common ones, too
};

}  // namespace flashbench::oracle

#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "oracle/panel.h"
#include "oracle/rows.h"

namespace flashbench::oracle {

/// A positive number known at some rows; between them linear in the row.
class Profile {
 public:
  void set(std::int64_t row, double x) { known_[row] = x; }
  double operator()(std::int64_t row) const;

 private:
  std::map<std::int64_t, double> known_;
};

/// What sampled rows say of the noise of all rows of one head: noise(row, c) = row's size times
/// that of the channel.
class NoiseProfile {
 public:
  /// Row `row` was expected to be row n of `x`. `unit`: what its noise is proportional to.
  void add(std::int64_t row, const Expected& x, std::size_t n, double unit);
  /// After the last add().
  void finish();

  /// Deviations of the channels: the root mean square over the sampled rows.
  /// Empty where no row is known.
  const Doubles& channels() const { return channels_; }
  double channel(std::size_t c) const { return channels_.empty() ? 0 : channels_[c]; }
  /// Expected square of a row's error, each channel in units of its own: d where it is as usual.
  double row(std::int64_t r, double unit) const;
  /// What is beyond that of a row of which `values`, Σ over the channels of the squares that it
  /// holds in the same units, are larger: few keys may have most of the weight, between those
  /// sampled. Such a row is not one of many equal ones.
  double excess(std::int64_t r, double unit, double values) const;
  /// How often a sum over `rows` rows has the variance that independent errors would give it: rows
  /// of equal values have equal errors.
  double repeats(double rows) const;

 private:
  struct Known {
    std::int64_t row;
    Doubles variance, squares;  ///< of the errors; of the values
    double unit;
  };
  std::vector<Known> known_;
  std::map<std::uint64_t, int> equal_;  // rows by what is expected
  Doubles channels_;
  Profile sizes_;
  double share_ = 0;  ///< of the squares of values that is noise
};

}  // namespace flashbench::oracle

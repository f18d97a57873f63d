#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "oracle/dense.h"
#include "oracle/noise.h"
#include "oracle/panel.h"

namespace flashbench::oracle {

/// How far sums of several terms reach while they grow: the largest part of each that is added up
/// in one go, from anywhere to anywhere. Not every term is looked at (multiply_add_in_parts).
class PartialSums {
 public:
  explicit PartialSums(std::size_t count) : low_(count, 0.0), high_(count, 0.0) {}

  /// sums[m][n] += left[m][k]·right[k][n]; rows of left are `stride` apart.
  void add(std::int64_t m, std::int64_t n, std::int64_t k, const double* left, std::int64_t stride,
           const double* right, Doubles& sums) {
    multiply_add_in_parts(m, n, k, left, stride, right, n, sums.data(), n, [&] {
      for (std::size_t i = 0; i < sums.size(); ++i) {
        low_[i] = std::min(low_[i], sums[i]);
        high_[i] = std::max(high_[i], sums[i]);
      }
    });
  }
  double largest_square(std::int64_t i) const { return square(high_.data()[i] - low_.data()[i]); }

 private:
  Doubles low_, high_;
};

/// The weights of a sum (P or dS of one row, or of one key), and the expected squares of their
/// errors.
struct Weights {
  double squares = 0, noise = 0, noise_squares = 0, shared = 0;
  /// `of_row`: the part of the noise that the weight shares with all others of its query.
  void add(double x, double noise_of_x, double of_row = 0) {
    shared += of_row;
    squares += x * x;
    noise += noise_of_x;
    noise_squares += noise_of_x * noise_of_x;
  }
  double per_noise() const { return noise < 1e-290 ? 0 : squares / noise; }
  /// How many independent errors theirs are as good as.
  double independent() const { return noise_squares == 0 ? 1 : noise * noise / noise_squares; }
};

/// Weights by the cell of the dtype that they are rounded in: weights of one cell that is narrow
/// next to them are rounded alike.
class Cells {
 public:
  explicit Cells(const Rounding& rounding) : rounding_(rounding) {}

  void add(double p) {
    if (rounding_.alike() == 0) return;
    sums_[rounding_.cell(p) * 0x9e3779b97f4a7c15u >> (64 - kLog2)] += p;
    squares_ += p * p;
    total_ += std::abs(p);
  }
  /// Expected square of the relative error that this gives to a sum with weights of equal value. Of
  /// dS, those of either sign are apart.
  double alike() const {
    double together = -squares_;
    for (const double sum : sums_) together += sum * sum;
    // Weights whose squares underflow are nothing.
    return square(total_) == 0 ? 0 : rounding_.alike() * std::max(0.0, together) / square(total_);
  }

 private:
  static constexpr int kLog2 = 9;
  const Rounding& rounding_;
  std::array<double, 1 << kLog2> sums_{};  // cells that share an entry are taken for one
  double squares_ = 0, total_ = 0;
};

}  // namespace flashbench::oracle

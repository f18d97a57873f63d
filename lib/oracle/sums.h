#pragma once

#include <algorithm>
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

}  // namespace flashbench::oracle

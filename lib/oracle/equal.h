#pragma once

#include <cstdint>
#include <vector>

#include "oracle/panel.h"
#include "oracle/tensor_values.h"

namespace flashbench::oracle {

/// Indices of entries that are equal to the last bit, two or more.
using EqualEntries = std::vector<std::int64_t>;

/// Those of x[0..n) that are not 0. Equal rows of K (tokens that repeat, constants) have equal
/// scores: the oracle adds them in one order, wherever they stand. What a kernel computes from them
/// has equal errors, which add up where those of different rows do not.
std::vector<EqualEntries> equal_entries(const double* x, std::int64_t n);

/// Expected square of the error of a sum whose term j < n is off by deviation(j): the deviations of
/// equal entries add up, and the squares of all others.
template <typename Deviation>
double noise_of_sum(std::int64_t n, const std::vector<EqualEntries>& equal, Deviation deviation) {
  double noise = 0;
  for (std::int64_t j = 0; j < n; ++j) noise += deviation(j) * deviation(j);
  for (const EqualEntries& entries : equal) {
    double all = 0;
    for (const std::int64_t j : entries) {
      all += deviation(j);
      noise -= deviation(j) * deviation(j);
    }
    noise += all * all;
  }
  return noise > 0 ? noise : 0;
}

/// Row `row` of head (b, h), and the weight's expected squared error.
struct WeightedRow {
  std::int64_t b, h, row;
  double noise;
};

/// out[c] += max(0, (Σ_n w_n·y_nc)² - Σ_n w_n²·y_nc²), w_n² = noise_n, y = x - centre: errors of
/// `rows` that add up, where out has the sum of their squares. centre [d]; null: 0.
void add_up_equal(const TensorValues& x, const std::vector<WeightedRow>& rows, const double* centre,
                  double* out);

}  // namespace flashbench::oracle

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "oracle/tensor_values.h"

namespace flashbench::oracle {

using Doubles = std::vector<double>;

/// A number that is the same for equal rows of n elements.
std::uint64_t row_hash(const double* x, std::int64_t n);

/// Rows of one head as doubles, x[rows, d], and as products want them.
struct Panel {
  std::int64_t rows = 0, d = 0;
  Doubles x;          ///< [rows, d]
  Doubles xt;         ///< [d, rows]; after transpose()
  Doubles square;     ///< squares of x; after derive()
  Doubles magnitude;  ///< magnitudes of x; after derive()

  /// Loads rows `which` of head (b, h). A row with keep[n] == 0 is zeros, whatever the tensor holds
  /// there: a NaN in a row that nothing sees must not spread. Empty `keep`: all.
  void gather(const TensorValues& t, std::int64_t b, std::int64_t h,
              std::span<const std::int64_t> which, std::span<const std::uint8_t> keep = {});
  void transpose();
  void derive();
  std::span<const double> row(std::int64_t n) const {
    return {x.data() + n * d, static_cast<std::size_t>(d)};
  }
  /// Of what row n holds.
  std::uint64_t hash(std::int64_t n) const { return row_hash(x.data() + n * d, d); }
};

/// Of what two rows hold together.
constexpr std::uint64_t combined(std::uint64_t a, std::uint64_t b) {
  return (a ^ 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u + b;
}

void squares(const Doubles& x, Doubles& out);
void magnitudes(const Doubles& x, Doubles& out);

}  // namespace flashbench::oracle

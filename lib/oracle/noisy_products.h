#pragma once

#include <cstddef>
#include <cstdint>

#include "oracle/noise.h"
#include "oracle/noise_profile.h"
#include "oracle/rounded_alike.h"
#include "oracle/tensor_values.h"

namespace flashbench::oracle {

/// One row of a tensor as doubles.
inline void load_row(const TensorValues& t, std::int64_t b, std::int64_t h, std::int64_t r,
                     Doubles& out) {
  out.resize(static_cast<std::size_t>(t.dims().d));
  t.load(b, h, r, out.data());
}

/// x_r·a for all rows of a head that count; 0 elsewhere, where x may hold a NaN.
template <typename Keep>
Doubles project(const TensorValues& x, std::int64_t b, std::int64_t h, const Doubles& a,
                Keep keep) {
  Doubles along(static_cast<std::size_t>(x.dims().rows), 0.0), row;
  for (std::int64_t r = 0; r < x.dims().rows; ++r) {
    if (!keep(r)) continue;
    load_row(x, b, h, r, row);
    double sum = 0;
    for (std::size_t c = 0; c < row.size(); ++c) sum += row[c] * a[c];
    along[static_cast<std::size_t>(r)] = sum;
  }
  return along;
}

/// Noise of a tensor of which some rows are known: what these say, and what the values themselves
/// say of rows that stand out.
struct TensorNoise {
  NoiseProfile profile;
  Rounding rounding;
  double relative;  ///< expected square of what P may be off

  double of(double x) const { return rounding.stored(x) + relative * square(x); }
};

/// Σ_r (exact_r·x)(noisy_r·y) of a group's heads, and its variance.
class Products {
 public:
  double sum = 0, squares = 0, variance = 0;
  RoundedAlike rounded;

  /// `noise` has row r of this head as `first` + r; `rows` of them count.
  template <typename Keep, typename Unit>
  void add(std::int64_t b, std::int64_t h, const TensorValues& exact, const Doubles& x,
           const Tensor& noisy, const Doubles& y, const TensorNoise& noise, std::int64_t first,
           std::int64_t rows, Keep keep, Unit unit) {
    const Doubles along = project(exact, b, h, x, keep), with = project(noisy, b, h, y, keep);
    const double repeats = noise.profile.repeats(static_cast<double>(rows));
    Doubles row;
    for (std::int64_t r = 0; r < exact.dims().rows; ++r) {
      const auto n = static_cast<std::size_t>(r);
      if (along[n] == 0) continue;
      sum += along[n] * with[n];
      squares += square(along[n] * with[n]);
      double values = 0, stored = 0;
      load_row(noisy, b, h, r, row);
      rounded.add(row, along[n]);
      for (std::size_t c = 0; c < row.size(); ++c) {
        values += square(y[c] * row[c]);
        stored += square(y[c]) * noise.of(row[c]);
      }
      variance += square(along[n]) * (repeats * noise.profile.row(first + r, unit(r)) +
                                      noise.profile.excess(first + r, unit(r), values) + stored);
    }
  }

  /// With what rounding the noisy tensor does to all its rows alike.
  double with_rounding(const Doubles& y, const Rounding& rounding) const {
    double all = variance;
    for (std::size_t c = 0; c < y.size(); ++c) all += square(y[c]) * rounded.noise(c, rounding);
    return all;
  }
};

}  // namespace flashbench::oracle

#include "oracle/rounded_alike.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace flashbench::oracle {

void RoundedAlike::add(const Doubles& row, double weight) {
  if (first_.empty()) {
    first_ = row;
    sums_.resize(row.size());
    squares_.resize(row.size());
  }
  for (std::size_t c = 0; c < row.size(); ++c) {
    const double distance = row[c] - first_[c];
    sums_[c] += distance;
    squares_[c] += square(distance);
  }
  ++rows_;
  weights_ += weight;
  weight_squares_ += square(weight);
}

double RoundedAlike::share(std::size_t c, const Rounding& rounding) const {
  if (rows_ < 2) return 0;
  const double mean = sums_[c] / rows_;
  const double stored = rounding.stored(first_[c] + mean);
  const double variance = std::max(0.0, squares_[c] / rows_ - square(mean));
  return stored > 0 ? share_rounded_alike(variance / (12 * stored)) : 0;
}

double RoundedAlike::noise(std::size_t c, const Rounding& rounding) const {
  const double coherent = square(weights_) - weight_squares_;
  if (rows_ < 2 || coherent <= 0) return 0;
  return share(c, rounding) * rounding.stored(first_[c] + sums_[c] / rows_) * coherent;
}

// Next to the middle between two numbers some values become the lower and some the higher one: with
// p of them here and 1 - p there, of variance p(1 - p), (1 - 2p)² is in common. Normal values of
// standard deviation s that reach several numbers have the first term of the Fourier series of the
// rounding error in common, 6/π²·exp(-(2πs)²); that error is what their variance has beyond s².
double share_rounded_alike(double variance) {
  const double exact = variance - 1.0 / 12;
  const double spread =
      exact <= 0 ? 0
                 : 6 / square(std::numbers::pi) * std::exp(-square(2 * std::numbers::pi) * exact);
  return std::max(1 - 4 * variance, spread);
}

}  // namespace flashbench::oracle

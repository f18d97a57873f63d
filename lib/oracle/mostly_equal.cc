#include "oracle/mostly_equal.h"

#include <algorithm>

#include "oracle/noise.h"

namespace flashbench::oracle {
namespace {

constexpr double kMost = 0.5;

/// Of the larger square of two rows, the share of channels where they are equal.
double equal_share(std::span<const double> x, std::span<const double> y) {
  double equal = 0, of_x = 0, of_y = 0;
  for (std::size_t c = 0; c < x.size(); ++c) {
    if (x[c] == y[c]) equal += square(x[c]);
    of_x += square(x[c]);
    of_y += square(y[c]);
  }
  const double all = std::max(of_x, of_y);
  return all > 0 ? equal / all : 1;
}

}  // namespace

void MostlyEqual::note(std::span<const double> row) {
  ++noted_;
  for (Kind& kind : kinds_)
    if (equal_share(kind.row, row) >= kMost) {
      ++kind.count;
      return;
    }
  kinds_.push_back({Doubles(row.begin(), row.end()), 1});
}

void MostlyEqual::choose() {
  constexpr int kFewest = 2, kMostKinds = 8;
  std::erase_if(kinds_, [&](const Kind& kind) {
    return kind.count < kFewest || kMostKinds * kind.count < noted_;
  });
}

MostlyEqual::Place MostlyEqual::of(std::span<const double> row) const {
  Place place;
  for (std::size_t n = 0; n < kinds_.size(); ++n) {
    const double share = equal_share(kinds_[n].row, row);
    if (share >= kMost && share > place.share) place = {static_cast<int>(n), share};
  }
  return place;
}

}  // namespace flashbench::oracle

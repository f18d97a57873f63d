#include "oracle/noise_profile.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace flashbench::oracle {
namespace {

/// More noise than this no row may claim by its values alone: what is judged would excuse itself.
constexpr double kMostNoise = 1e-3;

}  // namespace

double Profile::operator()(std::int64_t row) const {
  const auto above = known_.lower_bound(row);
  if (above == known_.end()) return known_.empty() ? 0.0 : known_.rbegin()->second;
  if (above == known_.begin()) return above->second;
  const auto below = std::prev(above);
  const double part =
      static_cast<double>(row - below->first) / static_cast<double>(above->first - below->first);
  return below->second + part * (above->second - below->second);
}

void NoiseProfile::add(std::int64_t row, const Expected& x, std::size_t n, double unit) {
  Known known{row, {}, {}, unit};
  for (std::size_t c = 0; c < static_cast<std::size_t>(x.d); ++c) {
    const std::size_t at = n * static_cast<std::size_t>(x.d) + c;
    known.variance.push_back(x.noise[at].variance());
    known.squares.push_back(square(x.value[at]));
  }
  known_.push_back(std::move(known));
  ++equal_[x.hash(n)];
}

void NoiseProfile::finish() {
  if (known_.empty()) return;
  const std::size_t d = known_.front().variance.size();
  channels_.assign(d, 0.0);
  for (const Known& k : known_)
    for (std::size_t c = 0; c < d; ++c) channels_[c] += k.variance[c];
  for (double& x : channels_) x = std::sqrt(x / static_cast<double>(known_.size()));
  double noise = 0, values = 0;
  for (const Known& k : known_) {
    double size = 0;
    for (std::size_t c = 0; c < d; ++c)
      if (channels_[c] > 0) {
        size += k.variance[c] / square(channels_[c]);
        values += k.squares[c] / square(channels_[c]);
      }
    noise += size;
    sizes_.set(k.row, k.unit > 0 ? std::sqrt(size) / k.unit : 0);
  }
  share_ = values > 0 ? std::min(kMostNoise, noise / values) : 0;
}

double NoiseProfile::row(std::int64_t r, double unit) const { return square(sizes_(r) * unit); }

double NoiseProfile::excess(std::int64_t r, double unit, double values) const {
  return std::max(0.0, share_ * values - row(r, unit));
}

double NoiseProfile::repeats(double rows) const {
  double alone = 0, together = 0;
  for (const auto& [hash, count] : equal_) {
    const double share = static_cast<double>(count) / static_cast<double>(known_.size());
    (count == 1 ? alone : together) += count == 1 ? share : rows * square(share);
  }
  return std::max(1.0, alone + together);
}

}  // namespace flashbench::oracle

#include "oracle/rounding_of_o.h"

#include <algorithm>
#include <numeric>

#include "oracle/noise.h"

namespace flashbench::oracle {
namespace {

double product(const Doubles& x, const Doubles& y) {
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

}  // namespace

RoundingOfO::RoundingOfO(const Definition& def, const SampledGroup& group, std::int64_t h)
    : mean_(static_cast<std::size_t>(def.shape().d_v()), 0.0) {
  const Rounding rounding(def.problem().dtype);
  if (!rounding.of_16_bits()) return;
  for (const RowPart* part : group.rows)
    for (std::size_t n = 0; part->h == h && n < part->rows.size(); ++n) {
      if (part->results.stats[n].empty) continue;
      rows_.push_back(part->rows[n]);
      Doubles& error = apart_.emplace_back(mean_.size());
      for (std::size_t c = 0; c < mean_.size(); ++c) {
        error[c] = rounding.error(part->results.o.value[n * mean_.size() + c]);
        mean_[c] += error[c];
      }
    }
  for (double& x : mean_) x /= std::max(static_cast<double>(rows_.size()), 1.0);
  double products = 0, squares = 0;
  for (std::size_t n = 0; n < rows_.size(); ++n) {
    for (std::size_t c = 0; c < mean_.size(); ++c) apart_[n][c] -= mean_[c];
    if (n == 0) continue;
    products += product(apart_[n - 1], apart_[n]);
    squares += (product(apart_[n - 1], apart_[n - 1]) + product(apart_[n], apart_[n])) / 2;
  }
  agreement_ = squares == 0 ? 0 : std::clamp(products / squares, 0.0, 1.0);
}

double RoundingOfO::shift(std::int64_t i, const Doubles& d_o) const {
  if (rows_.empty()) return 0;
  auto nearest = std::lower_bound(rows_.begin(), rows_.end(), i);
  if (nearest == rows_.end() || (nearest != rows_.begin() && i - nearest[-1] < *nearest - i))
    --nearest;
  const auto n = static_cast<std::size_t>(nearest - rows_.begin());
  return product(mean_, d_o) + agreement_ * product(apart_[n], d_o);
}

}  // namespace flashbench::oracle

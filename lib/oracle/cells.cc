#include "oracle/cells.h"

#include <algorithm>
#include <cmath>

namespace flashbench::oracle {

std::vector<std::int64_t> some_of(std::int64_t count, std::int64_t most) {
  const std::int64_t step = std::max<std::int64_t>(1, (count + most - 1) / most);
  std::vector<std::int64_t> some;
  for (std::int64_t first = 0; first < count; first += step) {
    const auto hash = static_cast<std::uint64_t>(first + 1) * 0x9e3779b97f4a7c15u >> 33;
    const auto size = static_cast<std::uint64_t>(std::min(step, count - first));
    some.push_back(first + static_cast<std::int64_t>(hash % size));
  }
  return some;
}

void Cells::note(double weight) {
  if (rounding_.of_16_bits()) noted_.push_back(rounding_.cell(weight));
}

void Cells::choose() {
  constexpr std::size_t kFewest = 2;
  std::sort(noted_.begin(), noted_.end());
  for (auto first = noted_.begin(); first != noted_.end();) {
    const auto last = std::upper_bound(first, noted_.end(), *first);
    const auto count = static_cast<std::size_t>(last - first);
    if (count >= kFewest && kMostCommon * count >= noted_.size()) common_.push_back({*first, 0, 0});
    first = last;
  }
  noted_ = {};
}

int Cells::slot(double weight) const {
  if (common_.empty()) return -1;
  const std::uint64_t cell = rounding_.cell(weight);
  for (std::size_t n = 0; n < common_.size(); ++n)
    if (common_[n].cell == cell) return static_cast<int>(n);
  return -1;
}

int Cells::add(double weight) {
  if (!rounding_.of_16_bits()) return -1;
  total_ += std::abs(weight);
  const int at = slot(weight);
  if (at >= 0) {
    Common& common = common_[static_cast<std::size_t>(at)];
    common.sum += weight;
    common.squares += square(weight);
  } else {
    sums_[rounding_.cell(weight) * 0x9e3779b97f4a7c15u >> (64 - kLog2)] += weight;
    squares_ += square(weight);
  }
  return at;
}

double Cells::alike(std::size_t of_slot) const {
  if (of_slot >= common_.size()) return 0;
  const Common& common = common_[of_slot];
  // Weights whose squares underflow are nothing.
  if (square(common.sum) == 0) return 0;
  return rounding_.alike() * std::max(0.0, 1 - common.squares / square(common.sum));
}

double Cells::alike() const {
  double together = -squares_;
  for (const double sum : sums_) together += square(sum);
  return relative(together);
}

double Cells::alike_of_all() const {
  double together = -squares_;
  for (const double sum : sums_) together += square(sum);
  for (const Common& common : common_) together += square(common.sum) - common.squares;
  return relative(together);
}

double Cells::several() const {
  double squares = 0, fourths = 0;
  const auto add = [&](double sum) {
    squares += square(sum);
    fourths += square(square(sum));
  };
  for (const double sum : sums_) add(sum);
  for (const Common& common : common_) add(common.sum);
  return fourths == 0 ? 1 : square(squares) / fourths;
}

double Cells::relative(double together) const {
  return square(total_) == 0 ? 0 : rounding_.alike() * std::max(0.0, together) / square(total_);
}

}  // namespace flashbench::oracle

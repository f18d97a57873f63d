#include "oracle/row_rounding.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "oracle/cells.h"

namespace flashbench::oracle {
namespace {

/// What rounding adds to a row; 0 to hidden pairs.
Doubles rounding_of(const Rounding& rounding, const double* p, std::int64_t keys) {
  Doubles errors(static_cast<std::size_t>(keys));
  std::transform(p, p + keys, errors.begin(), [&](double x) { return rounding.error(x); });
  return errors;
}

double product(const Doubles& x, const Doubles& y) {
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

}  // namespace

void RowRounding::add(const RowRounding& other) {
  alike += other.alike;
  pairs += other.pairs;
  cells += other.cells;
  rows += other.rows;
}

double RowRounding::independent() const {
  return alike == 0 ? std::numeric_limits<double>::infinity() : pairs / alike;
}

double RowRounding::excess() const {
  const double most = rows == 0 ? 1 : std::max(1.0, cells / rows);
  return std::clamp(oracle::excess(independent()), kMostOfAlike, kMostOfAlike * most);
}

RowRounding row_rounding(const Rounding& rounding, const Doubles& p, std::int64_t rows,
                         std::int64_t keys) {
  constexpr std::int64_t kRows = 8;  // 28 pairs cost little beside what the oracle does with a row
  RowRounding found;
  std::vector<Doubles> errors;
  for (const std::int64_t n : some_of(rows, kRows))
    errors.push_back(rounding_of(rounding, p.data() + n * keys, keys));
  for (std::size_t i = 0; i < errors.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const double squares = product(errors[i], errors[i]) * product(errors[j], errors[j]);
      if (squares == 0) continue;
      const auto both = static_cast<double>(
          std::inner_product(errors[i].begin(), errors[i].end(), errors[j].begin(), std::int64_t{0},
                             std::plus<>(), [](double x, double y) { return x * y != 0; }));
      if (both < 2) continue;
      // Of `both` independent pairs the squared correlation is 1 / both.
      const double correlation = square(product(errors[i], errors[j])) / squares;
      found.alike += std::max(0.0, (both * correlation - 1) / (both - 1));
      ++found.pairs;
    }
  return found;
}

}  // namespace flashbench::oracle

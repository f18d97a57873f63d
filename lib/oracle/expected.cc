#include "oracle/expected.h"

#include <algorithm>
#include <bit>

namespace flashbench::oracle {

void Expected::append(const Expected& rows) {
  d = rows.d;
  independent = std::min(independent, rows.independent);
  shared_excess = rows.shared_excess;
  rounding.add(rows.rounding);
  value.insert(value.end(), rows.value.begin(), rows.value.end());
  noise.insert(noise.end(), rows.noise.begin(), rows.noise.end());
  excess.insert(excess.end(), rows.excess.begin(), rows.excess.end());
  shared.insert(shared.end(), rows.shared.begin(), rows.shared.end());
  alike.insert(alike.end(), rows.alike.begin(), rows.alike.end());
}

std::uint64_t Expected::hash(std::size_t n) const {
  return alike.empty() ? values_hash(n) : alike[n];
}

std::uint64_t Expected::values_hash(std::size_t n) const {
  std::uint64_t h = 0;
  const auto columns = static_cast<std::size_t>(d);
  for (std::size_t c = n * columns; c < (n + 1) * columns; ++c) {
    const bool zero = square(value[c]) < 1e-6 * noise[c].variance();  // but for fp64's rounding
    const float x = zero ? 0.0f : static_cast<float>(value[c]);
    h = (h ^ std::bit_cast<std::uint32_t>(x)) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  return h;
}

double Expected::distinct(std::size_t n) const {
  std::vector<float> row;
  for (std::size_t c = 0; c < static_cast<std::size_t>(d); ++c)
    row.push_back(static_cast<float>(value[n * static_cast<std::size_t>(d) + c]));
  std::sort(row.begin(), row.end());
  return static_cast<double>(std::unique(row.begin(), row.end()) - row.begin());
}

}  // namespace flashbench::oracle

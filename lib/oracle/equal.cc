#include "oracle/equal.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace flashbench::oracle {

std::vector<EqualEntries> equal_entries(const double* x, std::int64_t n) {
  // Open addressing: a slot holds the first entry of its value.
  const std::size_t slots = std::bit_ceil(static_cast<std::size_t>(2 * n));
  std::vector<std::int64_t> first(slots, -1);
  std::vector<std::int64_t> group_of;  // [n], made when there is a first group
  std::vector<EqualEntries> groups;
  for (std::int64_t j = 0; j < n; ++j) {
    if (x[j] == 0) continue;
    const std::uint64_t hash = std::bit_cast<std::uint64_t>(x[j]) * 0x9e3779b97f4a7c15u;
    std::size_t slot = (hash >> 20) & (slots - 1);
    while (first[slot] >= 0 && x[first[slot]] != x[j]) slot = (slot + 1) & (slots - 1);
    if (first[slot] < 0) {
      first[slot] = j;
      continue;
    }
    group_of.resize(static_cast<std::size_t>(n), -1);
    std::int64_t& group = group_of[static_cast<std::size_t>(first[slot])];
    if (group < 0) {
      group = static_cast<std::int64_t>(groups.size());
      groups.push_back({first[slot]});
    }
    groups[static_cast<std::size_t>(group)].push_back(j);
  }
  return groups;
}

void add_up_equal(const TensorValues& x, const std::vector<WeightedRow>& rows, const double* centre,
                  double* out) {
  const auto d = static_cast<std::size_t>(x.dims().d);
  Doubles sum(d, 0.0), apart(d, 0.0), row(d);
  for (const WeightedRow& r : rows) {
    const double w = std::sqrt(r.noise);
    x.load(r.b, r.h, r.row, row.data());
    for (std::size_t c = 0; c < d; ++c) {
      const double term = w * (centre == nullptr ? row[c] : row[c] - centre[c]);
      sum[c] += term;
      apart[c] += term * term;
    }
  }
  for (std::size_t c = 0; c < d; ++c) out[c] += std::max(0.0, sum[c] * sum[c] - apart[c]);
}

}  // namespace flashbench::oracle

#include "data/alibi.h"

#include <bit>
#include <cmath>

namespace flashbench::data {
namespace {

double slope(std::int64_t n, std::int64_t heads) {
  return std::exp2(-8.0 * static_cast<double>(n + 1) / static_cast<double>(heads));
}

}  // namespace

std::vector<float> standard_alibi_slopes(std::int64_t h) {
  const auto power = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(h)));
  std::vector<float> slopes;
  for (std::int64_t n = 0; n < h; ++n)
    slopes.push_back(
        static_cast<float>(n < power ? slope(n, power) : slope(2 * (n - power), 2 * power)));
  return slopes;
}

}  // namespace flashbench::data

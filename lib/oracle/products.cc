#include "oracle/products.h"

#include <algorithm>

#include "oracle/dense.h"
#include "oracle/noise.h"

namespace flashbench::oracle {

void add_products(const Panel& left, const Panel& right, TileOf sums, TileOf squares_of) {
  constexpr std::int64_t kTerms = 24;
  const std::int64_t m = left.rows, n = right.rows, d = left.d;
  Doubles right_square, reach(static_cast<std::size_t>(m * n), 0.0);
  squares(right.xt, right_square);
  multiply_add(m, n, d, left.square.data(), d, right_square.data(), n, squares_of.data,
               squares_of.stride);
  for (std::int64_t first = 0; first < d; first += kTerms) {
    multiply_add(m, n, std::min(kTerms, d - first), left.x.data() + first, d,
                 right.xt.data() + first * n, n, sums.data, sums.stride);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        reach.data()[i * n + j] =
            std::max(reach.data()[i * n + j], square(sums.data[i * sums.stride + j]));
  }
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      squares_of.data[i * squares_of.stride + j] +=
          reach.data()[i * n + j] - square(sums.data[i * sums.stride + j]);
}

}  // namespace flashbench::oracle

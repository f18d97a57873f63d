#include "oracle/products.h"

#include <algorithm>

#include "oracle/dense.h"
#include "oracle/noise.h"

namespace flashbench::oracle {

void add_products(const Panel& left, const Panel& right, MatrixTile sums, MatrixTile spread) {
  const std::int64_t m = left.rows, n = right.rows, d = left.d;
  Doubles right_square, reach(static_cast<std::size_t>(m * n), 0.0);
  squares(right.xt, right_square);
  multiply_add(m, n, d, left.square.data(), d, right_square.data(), n, spread.data, spread.stride);
  const auto each = [&](auto f) {
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        f(square(sums.data[i * sums.stride + j]), reach.data()[i * n + j],
          spread.data[i * spread.stride + j]);
  };
  multiply_add_in_parts(m, n, d, left.x.data(), d, right.xt.data(), n, sums.data, sums.stride, [&] {
    each([](double sum, double& far, double&) { far = std::max(far, sum); });
  });
  each([](double result, double far, double& to) { to += far - result; });
}

}  // namespace flashbench::oracle

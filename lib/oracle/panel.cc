#include "oracle/panel.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace flashbench::oracle {

void Panel::gather(const TensorValues& t, std::int64_t b, std::int64_t h,
                   std::span<const std::int64_t> which, std::span<const std::uint8_t> keep) {
  rows = static_cast<std::int64_t>(which.size());
  d = t.dims().d;
  x.resize(static_cast<std::size_t>(rows * d));
  for (std::int64_t n = 0; n < rows; ++n) {
    double* to = x.data() + n * d;
    if (!keep.empty() && keep[static_cast<std::size_t>(n)] == 0)
      std::fill(to, to + d, 0.0);
    else
      t.load(b, h, which[static_cast<std::size_t>(n)], to);
  }
}

void Panel::transpose() {
  xt.resize(x.size());
  const double* from = x.data();
  double* to = xt.data();
  for (std::int64_t n = 0; n < rows; ++n)
    for (std::int64_t c = 0; c < d; ++c) to[c * rows + n] = from[n * d + c];
}

void Panel::derive() {
  squares(x, square);
  magnitudes(x, magnitude);
}

std::uint64_t row_hash(const double* x, std::int64_t n) {
  std::uint64_t h = 0;
  for (std::int64_t c = 0; c < n; ++c) {
    h = (h ^ std::bit_cast<std::uint64_t>(x[c] + 0.0)) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;  // a product moves bits up alone, and two signs would cancel
  }
  return h;
}

void squares(const Doubles& x, Doubles& out) {
  out.resize(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = x[i] * x[i];
}

void magnitudes(const Doubles& x, Doubles& out) {
  out.resize(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = std::abs(x[i]);
}

}  // namespace flashbench::oracle

#include "oracle/compare.h"

#include <cmath>
#include <limits>

namespace flashbench::oracle {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// Half a unit beyond the largest finite number: what rounds to infinity.
double overflow(Dtype t) {
  const double u = row_of(t).roundoff, largest = row_of(t).largest;  // (2 - 2u) times a power of 2
  return largest / (2 - 2 * u) * (2 - u);
}

double error(double got, double want, double tolerance, Dtype dtype) {
  if (got == want) return 0;  // -inf included
  if (std::isinf(got) && std::signbit(got) == std::signbit(want) &&
      std::abs(want) + tolerance >= overflow(dtype))
    return std::isinf(want) ? kInf : 0;
  return std::abs(got - want);
}

TensorVerdict judge(double err, double noise) {
  TensorVerdict v;
  v.limit = kNoiseLimit;
  v.error_over_noise = err == 0 ? 0 : err / noise;
  v.ok = err <= kNoiseLimit * noise;  // false for NaN
  return v;
}

}  // namespace

TensorCheck::TensorCheck(std::string tensor) {
  worst_.tensor = std::move(tensor);
  worst_.limit = kNoiseLimit;
  worst_.ok = true;
}

void TensorCheck::keep_worse(const TensorVerdict& other) {
  const double old = worst_.error_over_noise;
  if (std::isnan(old) || !(std::isnan(other.error_over_noise) || other.error_over_noise > old)) {
    worst_.ok = worst_.ok && other.ok;
    return;
  }
  const std::string tensor = worst_.tensor;
  const bool ok = worst_.ok && other.ok;
  worst_ = other;
  worst_.tensor = tensor;
  worst_.ok = ok;
}

/// Finds the largest error of a row and judges the row by it.
template <typename Got, typename Error>
void TensorCheck::fold(Got got, const double* want, std::int64_t d, double noise,
                       std::array<std::int64_t, 4> index, Error error) {
  double largest = 0;
  std::int64_t at = 0;
  for (std::int64_t c = 0; c < d; ++c) {
    const double err = error(got(c), want[c]);
    if (err <= largest) continue;
    largest = err;
    at = c;
    if (std::isnan(err)) break;
  }
  TensorVerdict v = judge(largest, noise);
  v.index = index;
  v.index[3] += at;
  v.got = got(at);
  v.want = want[at];
  keep_worse(v);
}

void TensorCheck::row(const Tensor& got, std::int64_t b, std::int64_t h, std::int64_t r,
                      const double* want, double noise) {
  const std::int64_t first = got.dims().index(b, h, r, 0);
  fold([&](std::int64_t c) { return static_cast<double>(got.at(first + c)); }, want, got.dims().d,
       noise, {b, h, r, 0},
       [&](double x, double y) { return error(x, y, kNoiseLimit * noise, got.dtype()); });
}

void TensorCheck::row(const double* got, const double* want, std::int64_t d, double noise,
                      std::array<std::int64_t, 4> index) {
  fold([&](std::int64_t c) { return got[c]; }, want, d, noise, index,
       [](double x, double y) { return x == y ? 0.0 : std::abs(x - y); });
}

void TensorCheck::number(double got, double want, double noise, std::array<std::int64_t, 4> index) {
  TensorVerdict v = judge(got == want ? 0 : std::abs(got - want), noise);
  v.index = index;
  v.got = got;
  v.want = want;
  keep_worse(v);
}

void TensorCheck::all_written(const Tensor& got, bool may_be_minus_inf) {
  const Dims& dims = got.dims();
  const std::int64_t count = got.count();
  std::int64_t bad = count;
  with_dtype(got.dtype(), [&](auto zero) {
    using Element = decltype(zero);
    const Element* x = got.as<Element>();
#pragma omp parallel for schedule(static) reduction(min : bad) if (count > (1 << 20))
    for (std::int64_t i = 0; i < count; ++i) {
      const float value = to_f32(x[i]);
      const bool fine = value - value == 0.0f ||
                        (may_be_minus_inf && value == -std::numeric_limits<float>::infinity());
      if (!fine && i < bad) bad = i;
    }
  });
  if (bad == count) return;
  TensorVerdict v = judge(std::numeric_limits<double>::quiet_NaN(), 0);
  v.index = {bad / (dims.h * dims.rows * dims.d), bad / (dims.rows * dims.d) % dims.h,
             bad / dims.d % dims.rows, bad % dims.d};
  v.got = static_cast<double>(got.at(bad));
  v.want = std::numeric_limits<double>::quiet_NaN();  // not computed: it only had to be finite
  keep_worse(v);
}

void TensorCheck::merge(const TensorCheck& other) { keep_worse(other.worst_); }

}  // namespace flashbench::oracle

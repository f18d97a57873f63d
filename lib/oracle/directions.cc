#include "oracle/directions.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "oracle/cells.h"
#include "oracle/noise.h"
#include "oracle/panel.h"
#include "system/interrupt.h"

namespace flashbench::oracle {
namespace {

constexpr std::int64_t kRows = 32;
constexpr std::size_t kFewest = 8;

/// At most kRows of them. Every n-th would be of one kind where kinds take turns.
std::vector<std::int64_t> chosen(std::span<const std::int64_t> rows) {
  std::vector<std::int64_t> some;
  for (const std::int64_t n : some_of(static_cast<std::int64_t>(rows.size()), kRows))
    some.push_back(rows[static_cast<std::size_t>(n)]);
  return some;
}

/// Channels become numbers of mean 0 and variance 1; those that are constant become 0. Returns how
/// many are not.
std::int64_t standardise(Panel& p) {
  const auto rows = static_cast<double>(p.rows);
  std::int64_t varying = 0;
  for (std::int64_t c = 0; c < p.d; ++c) {
    double mean = 0, variance = 0;
    for (std::int64_t r = 0; r < p.rows; ++r) mean += p.x.data()[r * p.d + c] / rows;
    for (std::int64_t r = 0; r < p.rows; ++r)
      variance += square(p.x.data()[r * p.d + c] - mean) / rows;
    // What is left of a constant by rounding its mean does not vary.
    const bool varies = std::isfinite(variance) && variance > square(1e-12 * mean);
    for (std::int64_t r = 0; r < p.rows; ++r) {
      double& x = p.x.data()[r * p.d + c];
      x = varies ? (x - mean) / std::sqrt(variance) : 0;
    }
    varying += varies ? 1 : 0;
  }
  return varying;
}

}  // namespace

double directions(const TensorValues& x, std::int64_t b, std::int64_t h,
                  std::span<const std::int64_t> rows) {
  const auto all = static_cast<double>(x.dims().d);
  if (rows.size() < kFewest) return all;
  Panel p;
  p.gather(x, b, h, chosen(rows));
  const std::int64_t varying = standardise(p);
  if (varying == 0) return all;
  double products = 0;
  for (std::int64_t i = 0; i < p.rows; ++i)
    for (std::int64_t j = 0; j < i; ++j) {
      double product = 0;
      for (std::int64_t c = 0; c < p.d; ++c)
        product += p.x.data()[i * p.d + c] * p.x.data()[j * p.d + c];
      products += square(product);
    }
  const double mean = products / (static_cast<double>(p.rows * (p.rows - 1)) / 2);
  return mean == 0 ? all : std::clamp(square(static_cast<double>(varying)) / mean, 1.0, all);
}

std::vector<HeadDirections> head_directions(const Definition& def) {
  const Shape& s = def.shape();
  const Inputs& in = def.inputs();
  std::vector<HeadDirections> all(static_cast<std::size_t>(s.b * s.h_kv));
#pragma omp parallel for schedule(dynamic) if (worth_threads(s))
  for (std::int64_t n = 0; n < s.b * s.h_kv; ++n) {
    if (interrupted()) continue;
    HeadDirections& head = all[static_cast<std::size_t>(n)];
    const std::int64_t b = n / s.h_kv, h_kv = n % s.h_kv, h = h_kv * s.group();
    std::vector<std::int64_t> keys, queries;
    for (std::int64_t j = def.begin_of_all(); j < def.end_of_all(); ++j)
      if (def.counts(b, j)) keys.push_back(j);
    head.v = directions(def.v(), b, h_kv, keys);
    if (!def.has_gradients()) continue;
    for (std::int64_t i = 0; i < s.q_len; ++i)
      if (!def.empty_row(b, h, i)) queries.push_back(i);
    head.k = directions(def.k(), b, h_kv, keys);
    head.q = directions(in.q, b, h, queries);
    head.d_o = directions(in.d_o, b, h, queries);
  }
  stop_if_interrupted();
  return all;
}

}  // namespace flashbench::oracle

#include "oracle/sink_gradient.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "oracle/equal.h"

namespace flashbench::oracle {
namespace {

std::uint64_t hash(double x) { return std::bit_cast<std::uint32_t>(static_cast<float>(x)); }

}  // namespace

void SinkGradient::add(std::int64_t b, const RowStats& row) {
  ++rows_;
  const double log_p = row.log_p(sink_), p = std::exp(log_p), term = -p * row.d;
  value_ += term;
  low_ = std::min(low_, value_);
  high_ = std::max(high_, value_);
  squares_ += square(term);
  shift_ += p * row.d_shift;
  alike_ += term * std::sqrt(row.alike);
  const StoreError stored = rounding_.of_gradient(term, p, 1, square(p) * row.d_noise);
  lost_ += stored.lost;
  const double noise = row.noise_of(p, log_p, sink_noise(sink_)) + square(p) * row.from_lse() +
                       rounding_.of(p).random;
  const std::uint64_t query = combined(row.query, static_cast<std::uint64_t>(b));
  errors_[combined(query, 1)] += std::sqrt(noise) * row.d;
  errors_[combined(query, 2)] += p * std::sqrt(row.d_noise);
  errors_[combined(combined(hash(row.lse), hash(row.d)), 3)] += std::sqrt(stored.random);
}

void SinkGradient::expect(std::size_t n, Expected& into) const {
  double computed = square(kF32Roundoff * value_) + square(shift_) + square(lost_) +
                    square(alike_) + sum_noise(rows_, square(high_ - low_), squares_);
  for (const auto& [what, error] : errors_) computed += square(error);
  into.value[n] = value_;
  into.noise[n] = {Rounding(Dtype::kF32).stored(value_), computed};
  into.excess[n] = excess(1);
}

SinkRows sink_rows(const Definition& def, std::int64_t first_b,
                   const std::vector<RowPart>& all_rows) {
  SinkRows rows{&def, first_b, {}};
  for (const RowPart& part : all_rows)
    rows.stats.insert(rows.stats.end(), part.results.stats.begin(), part.results.stats.end());
  return rows;
}

Expected expect_sink_gradients(const std::vector<SinkRows>& of_all) {
  if (of_all.empty()) return {};
  const Definition& any = *of_all.front().def;
  if (!any.has_sinks() || !any.has_gradients()) return {};
  Expected all(any.shape().h, 1);
  for (std::int64_t h = 0; h < any.shape().h; ++h) {
    SinkGradient gradient(any, h);
    for (const SinkRows& rows : of_all) {
      const Shape& s = rows.def->shape();
      for (std::int64_t b = 0; b < s.b; ++b)
        for (std::int64_t i = 0; i < s.q_len; ++i)
          gradient.add(rows.first_b + b,
                       rows.stats[static_cast<std::size_t>((b * s.h + h) * s.q_len + i)]);
    }
    gradient.expect(static_cast<std::size_t>(h), all);
  }
  return all;
}

}  // namespace flashbench::oracle

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "oracle/row_block.h"

namespace flashbench::oracle {

/// D = rowsum(dO∘O), dS = P∘(dP - D)∘slope, and their noise.
void RowBlock::score_gradient() {
  if (def_.wants_bias_gradient()) {
    for (Doubles* x : {&r_.ds.value, &r_.ds.noise}) *x = matrix(kv_len_);
    for (Doubles* x : {&r_.ds.common, &r_.ds.independent}) *x = matrix(1);
    for (std::int64_t n = 0; n < rows_; ++n)
      r_.ds.alike.push_back(combined(q_.hash(n), do_.hash(n)));
  }
  if (rounding_.of_16_bits()) note_rows_of_o();
  for (std::int64_t n = 0; n < rows_; ++n) {
    RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
    if (stats.empty) continue;
    for (std::int64_t c = n * d_v_; c < (n + 1) * d_v_; ++c)
      stats.d += do_.x.data()[c] * r_.o.value.data()[c];
    expect_d(n);
    if (def_.wants_bias_gradient()) expect_score_gradient(n);
    weigh_gradient(n);
  }
}

void RowBlock::note_rows_of_o() {
  Doubles row(static_cast<std::size_t>(d_v_));
  for (std::int64_t n = 0; n < rows_; ++n) {
    if (r_.stats[static_cast<std::size_t>(n)].empty) continue;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const double o = r_.o.value[static_cast<std::size_t>(n * d_v_) + c];
      row[c] = o + rounding_.error(o);
    }
    o_rows_.add(row, 1);
  }
}

/// D is computed from O as it was stored, or as Σ_j P·dP, which it is, too. Errors of P move all of
/// O's row, so they are looked at where they come from: Σ_c dO·(Σ_j e_j·V) = Σ_j e_j·dP.
void RowBlock::expect_d(std::int64_t n) {
  OfRow& row = of_row_[static_cast<std::size_t>(n)];
  RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
  double products = 0, noise = 0, of_o = 0, run = 0, last = 0, sum = 0, reach = 0, of_rounding = 0;
  for (std::int64_t c = n * d_v_; c < (n + 1) * d_v_; ++c) {
    const double d_o = do_.x.data()[c], o = r_.o.value.data()[c];
    products += square(d_o * o);
    sum += d_o * o;
    reach = std::max(reach, square(sum));
    // Neighbours that are equal are rounded alike: a constant V has constant rows of O.
    if (o != last) run = 0;
    const double before = square(run);
    run += d_o;
    last = o;
    noise += (square(run) - before) * (rounding_.stored(o) + square(kF32Roundoff * o));
    of_rounding += (square(run) - before) * rounding_.stored(o);
    row.d_alike += square(d_o) * rounding_.stored(o) *
                   o_rows_.share(static_cast<std::size_t>(c - n * d_v_), rounding_);
    of_o += (square(run) - before) * o_sum_.data()[c];
    if (rounding_.of_16_bits()) stats.d_shift += d_o * rounding_.error(o);
  }
  const double* p = p_.data() + n * kv_len_;
  const double* dp = ds_.data() + n * kv_len_;
  const double* own = own_.data() + n * kv_len_;
  const double* weight = weight_.data() + n * kv_len_;
  double terms = 0;
  for (std::int64_t j = 0; j < kv_len_; ++j) terms += square(p[j] * dp[j]);
  // As in O: an error of exp(S - m) counts by its distance from the mean, the rounding of P in
  // full.
  noise += noise_of_sum(kv_len_, row.equal,
                        [&](std::int64_t j) { return std::sqrt(own[j]) * (dp[j] - stats.d); });
  const auto rounding_of = [&](auto factor) {
    const auto deviation = [&](std::int64_t j) {
      return std::sqrt(std::max(0.0, weight[j] - own[j])) * factor(j);
    };
    return std::max(noise_of_sum(kv_len_, row.equal, deviation),
                    noise_of_sum(kv_len_, row.cells, deviation));
  };
  noise += rounding_of([&](std::int64_t j) { return dp[j]; });
  stats.p_rounded = rounding_of([](std::int64_t) { return 1.0; }) + row.alike;
  const double of_sums = noise + of_o + (row.alike + row.total + row.of_sink) * square(stats.d);
  // In 16 bits rounding O is d_shift, as it happens to be.
  stats.d_of_o = of_sums - (rounding_.of_16_bits() ? of_rounding : 0);
  const double of_products = sum_noise(d_v_, square(sum), products + reach - square(sum));
  stats.d_noise =
      of_sums + std::max(of_products, sum_noise(row.seen, square(stats.d), terms) - of_o);
  row.d_noise =
      stats.d_noise + std::max(0.0, square(stats.d_shift) / excess_of_largest(1) - of_rounding);
}

/// dS itself, and what it is off by: of its own P and dP, and with all keys of D and of the LSE.
void RowBlock::expect_score_gradient(std::int64_t n) {
  const RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
  const OfRow& row = of_row_[static_cast<std::size_t>(n)];
  double all = 0, common = 0;
  Weights weights;
  for (std::int64_t j = n * kv_len_; j < (n + 1) * kv_len_; ++j) {
    const double p = p_.data()[j], dp = ds_.data()[j], before = dp - stats.d, ds = p * before;
    if (p == 0) continue;
    const double of_d = square(p) * row.d_noise;
    const StoreError error = rounding_.of_gradient(ds, p, 1, of_d);
    const double of_p = exp_noise_.data()[j] + rounding_.of(p).random + square(kF32Roundoff * p);
    const double own = square(before) * of_p + row.d_noise * rounding_.of(p).random + error.random +
                       square(error.lost) +
                       square(p) * rounding_.of_products(d_v_, square(dp), dp_noise_.data()[j]);
    const double with_all = of_d + square(ds) * stats.from_lse();
    r_.ds.value.data()[j] = ds;
    r_.ds.noise.data()[j] = own + with_all;
    weights.add(ds, own);
    all += own + with_all;
    common += with_all;
  }
  r_.ds.common.data()[n] = all == 0 ? 0 : common / all;
  r_.ds.independent.data()[n] = weights.independent();
}

/// Noise of dS as an operand of dS·K. What is common to the row, an error of D or of LSE, is apart.
void RowBlock::weigh_gradient(std::int64_t n) {
  const RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
  OfRow& row = of_row_[static_cast<std::size_t>(n)];
  row.weights = {};
  for (std::int64_t j = n * kv_len_; j < (n + 1) * kv_len_; ++j) {
    double& p = p_.data()[j];
    const double dp = ds_.data()[j], before = dp - stats.d;
    const double slope = std::exchange(slope_.data()[j], 0);
    const double ds = p * before * slope;
    ds_.data()[j] = ds;
    weight_.data()[j] = lost_.data()[j] = 0;
    if (p == 0) continue;
    const double of_d = square(felt_slope(slope)) * row.d_noise;
    const StoreError error = rounding_.of_gradient(ds, p, scale_, square(p) * of_d);
    // Some kernels multiply by P as it was rounded for P·V.
    const double stored = rounding_.of(p).random;
    const double of_slope = slope_noise_.empty() ? 0 : slope_noise_.data()[j];
    const double of_p = square(slope) * (exp_noise_.data()[j] + stored) + square(kF32Roundoff * p);
    const double of_dp = square(p * felt_slope(slope)) *
                         rounding_.of_products(d_v_, square(dp), dp_noise_.data()[j]);
    const double noise = square(before) * of_p +
                         (square(before) + row.d_noise) * square(p) * of_slope + of_d * stored +
                         error.random + of_dp;
    row.dp_noise += of_dp;
    slope_.data()[j] = p * before * slope_shift(slope);
    p *= felt_slope(slope);  // all that P is needed for below
    weight_.data()[j] = noise;
    lost_.data()[j] = error.lost;
    any_lost_ |= error.lost > 0;
    row.weights.add(ds, noise);
  }
  row.equal = equal_entries(ds_.data() + n * kv_len_, kv_len_);
  find_cells(ds_.data() + n * kv_len_, row);
}

double RowBlock::alike_gradient(std::int64_t n) const {
  constexpr std::int64_t kCompared = 16;
  const auto row = [&](std::int64_t m) {
    return std::span(do_.x.data() + m * d_v_, static_cast<std::size_t>(d_v_));
  };
  const auto dot = [](std::span<const double> x, std::span<const double> y) {
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
  };
  const double own = dot(row(n), row(n));
  double alike = 0, others = 0;
  for (std::int64_t m = 0; m < rows_; m += (rows_ - 1) / kCompared + 1) {
    if (m == n) continue;
    const double lengths = own * dot(row(m), row(m));
    alike += lengths > 0 ? square(dot(row(n), row(m))) / lengths : 0;
    ++others;
  }
  return std::min(1.0, alike / std::max(1.0, others));
}

/// dQ = scale·dS·K.
void RowBlock::weigh_keys() {
  r_.dq = Expected(rows_, d_);
  r_.dq.shared.assign(which_.size(), 0.0);
  r_.dq.shared_excess = excess(1);
  Doubles weighed = matrix(d_), lost = matrix(d_), mean = matrix(d_), shift = matrix(d_);
  PartialSums parts(r_.dq.value.size());
  Panel k;
  for_tiles([&](std::int64_t j0, const auto& keys, const auto& keep) {
    k.gather(def_.k(), b_, kv_head_, keys, keep);
    k.derive();
    parts.add(rows_, k.d, k.rows, ds_.data() + j0, kv_len_, k.x.data(), r_.dq.value);
    weigh(weight_, j0, k, k.square, weighed);
    weigh(p_, j0, k, k.x, mean);
    if (def_.bends_scores()) weigh(slope_, j0, k, k.x, shift);
    if (any_lost_) weigh(lost_, j0, k, k.magnitude, lost);
  });
  for (std::int64_t n = 0; n < rows_; ++n) {
    if (r_.stats[static_cast<std::size_t>(n)].empty) continue;
    const OfRow& row = of_row_[static_cast<std::size_t>(n)];
    add_up(
        row.equal, def_.k(), [&](std::int64_t j) { return weight_.data()[n * kv_len_ + j]; },
        nullptr, weighed.data() + n * d_);
    const auto rounding_of = [&](std::int64_t j) {
      return rounding_.alike() * square(ds_.data()[n * kv_len_ + j]);
    };
    Doubles rounded(static_cast<std::size_t>(d_), 0.0), counted = rounded;
    add_up(row.cells, def_.k(), rounding_of, nullptr, rounded.data());
    // Where dS are equal, rounding is in what was added up above.
    if (!row.cells.empty()) add_up(row.equal, def_.k(), rounding_of, nullptr, counted.data());
    for (std::size_t c = 0; c < rounded.size(); ++c)
      rounded[c] = std::max(0.0, rounded[c] - counted[c]);
    expect_dq(n, weighed, lost, mean, shift, rounded, parts);
  }
}

void RowBlock::expect_dq(std::int64_t n, const Doubles& weighed, const Doubles& lost,
                         const Doubles& mean, const Doubles& shift, const Doubles& rounded,
                         const PartialSums& parts) {
  const OfRow& row = of_row_[static_cast<std::size_t>(n)];
  const RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
  const double again = returns(n);
  // Where P and dO are alike, so is what products dO·v are off by; and D, where rows of O are
  // rounded alike, be it because P is one number or because O is much the same for all queries.
  const double same_d = rounding_.of_16_bits() ? stats.alike / rounding_.alike() : 0;
  const double same_dp = row.weights.noise > 0 ? row.dp_noise / row.weights.noise : 0;
  double all = 0, common = 0, shared = 0, means = 0;
  for (std::int64_t c = n * d_; c < (n + 1) * d_; ++c) {
    const double dq = r_.dq.value.data()[c], random = weighed.data()[c];
    const double of_row = row.d_noise * square(mean.data()[c]) + stats.from_lse() * square(dq) +
                          square(shift.data()[c]);
    const double in_cells = rounded.data()[c - n * d_];
    const double computed = random + in_cells + of_row + square(lost.data()[c]) +
                            square(kF32Roundoff * dq) +
                            rounding_.cut_off(row.seen, parts.largest_square(c)) +
                            again * rounding_.of_products(row.seen, parts.largest_square(c),
                                                          random * row.weights.per_noise());
    r_.dq.value.data()[c] = scale_ * dq;
    r_.dq.noise.data()[c] = {rounding_.stored(scale_ * dq), square(scale_) * computed};
    all += computed;
    shared += same_dp * random + in_cells + same_d * row.d_noise * square(mean.data()[c]);
    means += square(mean.data()[c]);
    common += std::min(computed, in_cells + of_row + square(mean.data()[c]) * row.weights.noise);
  }
  if (all > 0)
    r_.dq.shared.data()[n] = alike_gradient(n) * std::max(row.overlap * std::min(1.0, shared / all),
                                                          std::min(1.0, row.d_alike * means / all));
  r_.dq.excess.data()[n] = mixed_excess(
      all == 0 ? 1 : common / all,
      std::min({independent(n), r_.dq.distinct(static_cast<std::size_t>(n)), directions_.k}));
}

}  // namespace flashbench::oracle

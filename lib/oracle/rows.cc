#include "oracle/rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

#include "oracle/products.h"
#include "oracle/row_block.h"

namespace flashbench::oracle {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

}  // namespace

/// S = QKᵀ, not yet scaled, and what add_products() says for the noise of each.
void RowBlock::score() {
  p_ = matrix(kv_len_);
  exp_noise_ = matrix(kv_len_);
  Panel k;
  for_tiles([&](std::int64_t j0, const auto& keys, const auto& keep) {
    k.gather(def_.k(), b_, kv_head_, keys, keep);
    k.transpose();
    add_products(q_, k, {p_.data() + j0, kv_len_}, {exp_noise_.data() + j0, kv_len_});
  });
}

/// P and LSE of each row over its visible keys, and their noise.
void RowBlock::softmax() {
  own_ = matrix(kv_len_);
  weight_ = matrix(kv_len_);
  lost_ = matrix(kv_len_);
  if (def_.has_gradients()) slope_ = matrix(kv_len_);
  if (def_.has_gradients() && def_.bends_scores()) slope_noise_ = matrix(kv_len_);
  r_.lse = Expected(rows_, 1);
  for (std::int64_t n = 0; n < rows_; ++n) softmax_row(n);
}

void RowBlock::softmax_row(std::int64_t n) {
  const std::int64_t i = which_[static_cast<std::size_t>(n)];
  double* p = p_.data() + n * kv_len_;
  double* relative = exp_noise_.data() + n * kv_len_;
  OfRow& row = of_row_[static_cast<std::size_t>(n)];
  RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
  const std::optional<double> sink = def_.sink(h_);
  double max = sink.value_or(-kInf);
  for (std::int64_t j = 0; j < kv_len_; ++j) {
    if (!def_.visible(b_, h_, i, j)) {
      relative[j] = 0;
      p[j] = -kInf;
      continue;
    }
    const double raw = scale_ * p[j];
    const double of_raw =
        raw_noise(rounding_, scale_, d_, p[j], relative[j], def_.factor_roundings());
    const Score score = def_.score_with_slope(raw, b_, h_, i, j);
    relative[j] = exp_noise(raw, of_raw, score);
    p[j] = score.value;
    if (!slope_.empty()) slope_.data()[n * kv_len_ + j] = score.slope;
    if (!slope_noise_.empty()) slope_noise_.data()[n * kv_len_ + j] = slope_noise(of_raw, score);
    max = std::max(max, p[j]);
    ++row.seen;
  }
  stats.empty = row.seen == 0;
  // Many terms are equal, which one chain in double would round alike.
  long double total = sink ? std::exp(*sink - max) : 0;
  for (std::int64_t j = 0; j < kv_len_; ++j) {
    p[j] = p[j] == -kInf ? 0.0 : std::exp(p[j] - max);
    total += static_cast<long double>(p[j]);
  }
  const auto sum = static_cast<double>(total);
  for (std::int64_t j = 0; j < kv_len_ && !stats.empty; ++j) p[j] /= sum;
  stats.max = stats.empty ? def_.lse_of_empty_row(h_) : max;
  stats.log_sum = stats.empty ? 0 : std::log(sum);
  stats.lse = stats.max + stats.log_sum;
  r_.lse.value[static_cast<std::size_t>(n)] = stats.lse;
  row.sink = stats.sink_share(sink);
  if (stats.empty && !sink) return;
  row.equal = equal_entries(p, kv_len_);
  expect_lse(n);
  if (!stats.empty) weigh_row(n);
}

/// LSE = m + log(Σ exp(S - m)): an error of S counts as much as its P. A sink is one more term.
void RowBlock::expect_lse(std::int64_t n) {
  OfRow& row = of_row_[static_cast<std::size_t>(n)];
  RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
  const double* p = p_.data() + n * kv_len_;
  const double* relative = exp_noise_.data() + n * kv_len_;
  const double sink = square(row.sink), terms = static_cast<double>(row.seen) + (sink > 0 ? 1 : 0);
  double squares = 0, largest = row.sink;
  for (std::int64_t j = 0; j < kv_len_; ++j) {
    squares += square(p[j]);
    largest = std::max(largest, p[j]);
  }
  if (squares > 0) row.overlap = std::min(1.0, 1 / (squares * std::max(keys_in_all_, 1.0)));
  row.total = sum_noise(static_cast<std::int64_t>(terms), 1, squares + sink);
  for (const EqualEntries& keys : row.equal) {
    const double count = static_cast<double>(keys.size());
    // They are added to their own sum, through many exponents, or to a sink or another key so large
    // that the exponent stays, and all are rounded by the same part of its last place.
    row.total_alike += std::max(alike_sum_noise(count) * square(count * p[keys.front()]),
                                square(kF32Roundoff * count * largest) / 3);
  }
  row.total += row.total_alike;
  stats.exps_noise = row.total + noise_of_sum(kv_len_, row.equal, [&](std::int64_t j) {
                       return p[j] * std::sqrt(relative[j]);
                     });
  if (def_.has_sinks()) stats.exps_noise += sink * sink_noise(*def_.sink(h_));
  double products = square(kF32Roundoff) *
                    (def_.factor_roundings() * square(stats.lse) + square(std::log(terms)));
  if (const double cut = rounding_.cut_off_scores(d_); cut > 0) {
    double size = 0;  // of the scores
    for (std::int64_t j = 0; j < kv_len_; ++j)
      if (p[j] > 0) size += p[j] * std::abs(stats.lse + std::log(p[j]));
    products += square(cut * size);
  }
  const auto at = static_cast<std::size_t>(n);
  r_.lse.value[at] = stats.lse;
  r_.lse.noise[at] = {Rounding(Dtype::kF32).stored(stats.lse), stats.exps_noise + products};
  r_.lse.excess[at] = excess(1);
  stats.lse_noise = r_.lse.noise[at].variance();
}

Cells RowBlock::find_cells(const double* weights, OfRow& row) const {
  Cells cells(rounding_);
  row.cells.clear();
  if (!rounding_.of_16_bits()) return cells;
  constexpr std::int64_t kNoted = 256;
  std::vector<double> seen;
  std::copy_if(weights, weights + kv_len_, std::back_inserter(seen),
               [](double weight) { return weight != 0; });
  for (const std::int64_t n : some_of(static_cast<std::int64_t>(seen.size()), kNoted))
    cells.note(seen[static_cast<std::size_t>(n)]);
  cells.choose();
  if (cells.any_common()) row.cells.resize(Cells::kMostCommon);
  for (std::int64_t j = 0; j < kv_len_; ++j) {
    const int slot = weights[j] == 0 ? -1 : cells.add(weights[j]);
    if (slot >= 0) row.cells[static_cast<std::size_t>(slot)].push_back(j);
  }
  return cells;
}

/// Noise of P: of exp(S - m) alone, with the sum of all of them, and of P as an operand of P·V.
void RowBlock::weigh_row(std::int64_t n) {
  OfRow& row = of_row_[static_cast<std::size_t>(n)];
  RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
  const double* p = p_.data() + n * kv_len_;
  double* noise = exp_noise_.data() + n * kv_len_;
  stats.p_noise = 0;
  for (std::int64_t j = 0; j < kv_len_; ++j)
    if (p[j] > 0) stats.p_noise += exp_error(p[j], std::log(p[j]), noise[j] + stats.exps_noise);
  if (row.sink > 0) {
    const double log_p = std::log(row.sink), noise_of_sink = sink_noise(*def_.sink(h_));
    stats.p_noise += exp_error(row.sink, log_p, noise_of_sink + stats.exps_noise);
    row.of_sink = exp_error(row.sink, log_p, noise_of_sink);
  }
  for (std::int64_t j = 0; j < kv_len_; ++j) {
    const StoreError error = rounding_.of(p[j]);
    const double own = p[j] > 0 ? exp_error(p[j], std::log(p[j]), noise[j]) : 0;
    noise[j] = p[j] > 0 ? stats.noise_of(p[j], std::log(p[j]), noise[j]) : 0;
    own_.data()[n * kv_len_ + j] = own;
    weight_.data()[n * kv_len_ + j] = own + error.random;
    lost_.data()[n * kv_len_ + j] = error.lost;
    any_lost_ |= error.lost > 0;
    row.own += own;
    row.weights.add(p[j], own + error.random);
  }
  const Cells cells = find_cells(p, row);
  stats.alike = cells.alike_of_all();
  row.alike = cells.alike();
  row.cells_of_p = cells.several();
}

/// O = P·V, and dP = dO·Vᵀ on the way.
void RowBlock::weigh_values() {
  r_.o = Expected(rows_, d_v_);
  r_.o.shared.assign(which_.size(), 0.0);
  Doubles weighed = matrix(d_v_), mean = matrix(d_v_), lost = matrix(d_v_);
  PartialSums parts(r_.o.value.size());
  if (def_.has_gradients()) {
    ds_ = matrix(kv_len_);
    dp_noise_ = matrix(kv_len_);
    o_sum_ = matrix(d_v_);
  }
  Panel v;
  for_tiles([&](std::int64_t j0, const auto& keys, const auto& keep) {
    v.gather(def_.v(), b_, kv_head_, keys, keep);
    v.derive();
    parts.add(rows_, v.d, v.rows, p_.data() + j0, kv_len_, v.x.data(), r_.o.value);
    weigh(weight_, j0, v, v.square, weighed);
    weigh(own_, j0, v, v.x, mean);
    if (any_lost_) weigh(lost_, j0, v, v.magnitude, lost);
    if (!def_.has_gradients()) return;
    v.transpose();
    add_products(do_, v, {ds_.data() + j0, kv_len_}, {dp_noise_.data() + j0, kv_len_});
  });
  if (rounding_.of_16_bits()) r_.o.rounding = row_rounding(rounding_, p_, rows_, kv_len_);
  for (std::int64_t n = 0; n < rows_; ++n) {
    if (r_.stats[static_cast<std::size_t>(n)].empty) continue;
    r_.o.rounding.cells += of_row_[static_cast<std::size_t>(n)].cells_of_p;
    ++r_.o.rounding.rows;
    expect_o(n, weighed, mean, lost, parts);
  }
}

void RowBlock::add_cuts(std::int64_t n, double* noise) const {
  constexpr double kExpected = 1.0 / 8;  // of the worst one's square
  const TensorValues v = def_.v();
  const double* p = p_.data() + n * kv_len_;
  const auto d = static_cast<std::size_t>(d_v_);
  Doubles row(d);
  for (const EqualEntries& keys : of_row_[static_cast<std::size_t>(n)].cells) {
    const auto place = [&](std::int64_t j) { return rounding_.place_in_cell(p[j]); };
    // Nothing comes between equal ones.
    if (std::all_of(keys.begin(), keys.end(),
                    [&](std::int64_t j) { return place(j) == place(keys.front()); }))
      continue;
    std::array<Doubles, Rounding::kPlaces> terms;
    for (const std::int64_t j : keys) {
      Doubles& sum = terms[place(j)];
      sum.resize(d);
      v.load(b_, kv_head_, j, row.data());
      for (std::size_t c = 0; c < d; ++c) sum[c] += p[j] * row[c];
    }
    Doubles below(d, 0.0), worst(d, 0.0);
    const auto last =
        std::find_if(terms.rbegin(), terms.rend(), [](const Doubles& sum) { return !sum.empty(); });
    for (auto at = terms.begin(); last != terms.rend() && at != last.base() - 1; ++at)
      for (std::size_t c = 0; c < at->size(); ++c) {
        below[c] += (*at)[c];
        worst[c] = std::max(worst[c], std::abs(below[c]));
      }
    // alike(): the square of a quarter of a unit.
    for (std::size_t c = 0; c < d; ++c)
      noise[c] += kExpected * 16 * rounding_.alike() * square(worst[c]);
  }
}

double RowBlock::returning(std::int64_t n) {
  const OfRow& row = of_row_[static_cast<std::size_t>(n)];
  if (row.equal.empty()) return 0;
  if (values_.empty()) {
    Doubles v(static_cast<std::size_t>(d_v_));
    for (std::int64_t j = 0; j < kv_len_; ++j) {
      def_.v().load(b_, kv_head_, j, v.data());
      values_.push_back(row_hash(v.data(), d_v_));
    }
  }
  double noise = 0;
  std::unordered_map<std::uint64_t, double> counts;
  for (const EqualEntries& keys : row.equal) {
    counts.clear();
    for (const std::int64_t j : keys) ++counts[values_[static_cast<std::size_t>(j)]];
    for (const auto& [value, count] : counts)
      noise += returning_noise(count, static_cast<double>(row.seen));
  }
  return noise;
}

void RowBlock::add_alike(std::int64_t n, const PartialSums& parts, double* noise) {
  const TensorValues v = def_.v();
  const double of_reach = returning(n);
  for (const EqualEntries& keys : of_row_[static_cast<std::size_t>(n)].equal) {
    const double p = p_.data()[n * kv_len_ + keys.front()];
    for (std::int64_t c = 0; c < d_v_; ++c) {
      double total = 0, squares = 0;
      for (const std::int64_t j : keys) {
        const double term = p * v.at(b_, kv_head_, j, c);
        total += term;
        squares += square(term);
      }
      noise[c] += alike_noise(static_cast<double>(keys.size()), square(total), squares);
    }
  }
  for (std::int64_t c = 0; c < d_v_; ++c)
    noise[c] = std::max(noise[c], of_reach * parts.largest_square(n * d_v_ + c));
}

/// An error of one exp(S - m) is in the sum of all of them, too: it moves O by V_j - O, not by V_j.
/// The rounding of P to the dtype is not in that sum. weighed: Σ_j (own + store)·V², mean: Σ_j
/// own·V.
void RowBlock::expect_o(std::int64_t n, const Doubles& weighed, const Doubles& mean,
                        const Doubles& lost, const PartialSums& parts) {
  const OfRow& row = of_row_[static_cast<std::size_t>(n)];
  Doubles equal(static_cast<std::size_t>(d_v_), 0.0);
  const double* own = own_.data() + n * kv_len_;
  const double* weight = weight_.data() + n * kv_len_;
  const TensorValues v = def_.v();
  add_up(
      row.equal, v, [=](std::int64_t j) { return own[j]; }, r_.o.value.data() + n * d_v_,
      equal.data());
  Doubles alike(static_cast<std::size_t>(d_v_), 0.0);
  add_alike(n, parts, alike.data());
  for (std::size_t c = 0; c < alike.size(); ++c) equal[c] += alike[c];
  const double stored = row.weights.noise - row.own;
  Doubles rounded(static_cast<std::size_t>(d_v_), 0.0);
  if (rounding_.of_16_bits())
    rounded =
        add_up_rounded(row, v, [=](std::int64_t j) { return std::max(0.0, weight[j] - own[j]); });
  add_cuts(n, equal.data());
  double all = 0, common = 0, shared = 0;
  for (std::int64_t c = n * d_v_; c < (n + 1) * d_v_; ++c) {
    const double o = r_.o.value.data()[c], squares = weighed.data()[c];
    const double apart = squares - 2 * o * mean.data()[c] + o * o * row.own;
    const double random = std::max(apart, 0.0) + equal.data()[c - n * d_v_];
    const double alike_in_all = rounded.data()[c - n * d_v_] + row.alike * square(o);
    const double together = alike_in_all + (row.total + row.of_sink) * square(o);
    const double of_sum = rounding_.of_products(row.seen, parts.largest_square(c),
                                                squares * row.weights.per_noise()) +
                          rounding_.cut_off(row.seen, parts.largest_square(c));
    const double computed = random + together + square(lost.data()[c]) +
                            def_.factor_roundings() * square(kF32Roundoff * o) + of_sum;
    if (!o_sum_.empty()) o_sum_.data()[c] = of_sum + alike.data()[c - n * d_v_];
    r_.o.noise.data()[c] = {rounding_.stored(o), computed};
    all += computed;
    common += std::min(computed, together + square(o) * stored);
    shared += alike_in_all;
  }
  // P that all lie in one cell do so in other rows: of all of them O may be off by the same share.
  r_.o.shared.data()[n] = shared / all;
  r_.o.excess.data()[n] = mixed_excess(
      common / all,
      std::min({independent(n), r_.o.distinct(static_cast<std::size_t>(n)), directions_.v}));
}

RowResults compute_rows(const Definition& def, const HeadDirections& head, std::int64_t b,
                        std::int64_t h, std::span<const std::int64_t> which) {
  return RowBlock(def, head, b, h, which).run();
}

std::int64_t row_block(const Shape& shape) {
  return std::clamp<std::int64_t>((std::int64_t{1} << 19) / shape.kv_len, 1, 32);
}

}  // namespace flashbench::oracle

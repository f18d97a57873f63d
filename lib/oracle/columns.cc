#include "oracle/columns.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "oracle/column_block.h"
#include "oracle/dense.h"
#include "oracle/products.h"

namespace flashbench::oracle {

void ColumnBlock::find_common_cells() {
  constexpr std::int64_t kQueries = 64;
  const std::int64_t group = def_.shape().group(), q_len = def_.shape().q_len;
  std::vector<std::vector<std::int64_t>> rows_of(static_cast<std::size_t>(group));
  std::vector<std::int64_t> seeing;
  for (std::int64_t row = 0; row < group * q_len; ++row)
    if (sees_some(h_kv_ * group + row / q_len, row % q_len)) seeing.push_back(row);
  for (const std::int64_t n : some_of(static_cast<std::int64_t>(seeing.size()), kQueries)) {
    const std::int64_t row = seeing[static_cast<std::size_t>(n)];
    rows_of[static_cast<std::size_t>(row / q_len)].push_back(row % q_len);
  }
  for (std::int64_t g = 0; g < group; ++g) {
    const std::vector<std::int64_t>& rows = rows_of[static_cast<std::size_t>(g)];
    if (rows.empty() || !load(g, h_kv_ * group + g, rows)) continue;
    products();
    for (std::size_t n = 0; n < which_.size(); ++n)
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const Pair of = pair(n, i);
        if (of.p == 0) continue;
        of_key_[n].p_cells.note(of.p);
        of_key_[n].ds_cells.note(of.ds);
      }
  }
  for (OfKey& key : of_key_)
    for (Cells* cells : {&key.p_cells, &key.ds_cells}) cells->choose();
}

bool ColumnBlock::sees_some(std::int64_t h, std::int64_t i) const {
  return std::any_of(which_.begin(), which_.end(),
                     [&](std::int64_t j) { return def_.visible(b_, h, i, j); });
}

/// Loads a tile of queries; false when none of the keys is visible to any of them.
bool ColumnBlock::load(std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
  if (std::none_of(rows.begin(), rows.end(), [&](std::int64_t i) { return sees_some(h, i); }))
    return false;
  tile_h_ = h;
  tile_rows_ = rows;
  tile_stats_.clear();
  std::vector<std::uint8_t> keep;
  for (const std::int64_t i : rows) {
    tile_stats_.push_back(stats_[static_cast<std::size_t>(g * def_.shape().q_len + i)]);
    keep.push_back(tile_stats_.back().empty ? 0 : 1);
  }
  for (Panel* x : {&q_, &do_}) {
    x->gather(x == &q_ ? def_.inputs().q : def_.inputs().d_o, b_, h, rows, keep);
    x->derive();
    x->transpose();
  }
  tile_common_d_.clear();
  for (std::int64_t i = 0; i < q_.rows; ++i) tile_common_d_.push_back(common_d(i));
  tile_d_o_.clear();
  tile_q_.clear();
  for (std::int64_t i = 0; i < q_.rows; ++i) {
    tile_d_o_.push_back(repeated_.d_o.of(do_.row(i)));
    tile_q_.push_back(repeated_.mostly_q.of(q_.row(i)));
  }
  return true;
}

ColumnBlock::CommonD ColumnBlock::common_d(std::int64_t i) const {
  const auto kind = repeated_.kind(q_.row(i));
  if (!kind) return {};
  const RowStats& stats = tile_stats_[static_cast<std::size_t>(i)];
  const double rounded = stats.d_of_rounded_p();
  const double rest = std::sqrt(std::max(0.0, stats.d_of_o - square(rounded)));
  return {kind, {rounded, rest * repeated_.alignment(*kind, do_.row(i))}};
}

void ColumnBlock::count() {
  loaded_ += static_cast<std::int64_t>(tile_rows_.size());
  for (std::size_t n = 0; n < which_.size(); ++n)
    for (const std::int64_t i : tile_rows_)
      of_key_[n].seen += def_.visible(b_, tile_h_, i, which_[n]) ? 1 : 0;
}

void ColumnBlock::products() {
  const std::int64_t rows = q_.rows;
  const auto count = static_cast<std::size_t>(keys_ * rows);
  for (Doubles* m : {&p_.weight, &ds_.weight, &p_.noise, &ds_.noise}) m->assign(count, 0.0);
  add_products(k_, q_, {p_.weight.data(), rows}, {p_.noise.data(), rows});
  add_products(v_, do_, {ds_.weight.data(), rows}, {ds_.noise.data(), rows});
}

ColumnBlock::Pair ColumnBlock::pair(std::size_t n, std::size_t i) const {
  const std::size_t m = n * static_cast<std::size_t>(q_.rows) + i;
  const RowStats& row = tile_stats_[i];
  Pair of{};
  of.visible = def_.visible(b_, tile_h_, tile_rows_[i], which_[n]);
  of.raw = scale_ * p_.weight[m];
  if (of.visible) of.score = def_.score_with_slope(of.raw, b_, tile_h_, tile_rows_[i], which_[n]);
  of.log_p = row.log_p(of.score.value);
  of.p = of.visible ? std::exp(of.log_p) : 0.0;
  of.before = ds_.weight[m] - row.d;
  of.ds = of.p * of.before * of.score.slope;
  return of;
}

/// P, dS and the expected squares of their errors for the tile, keys down and queries across.
void ColumnBlock::weights() {
  const auto rows = static_cast<std::size_t>(q_.rows);
  const std::size_t count = p_.weight.size();
  for (Doubles* m :
       {&p_.lost, &p_.of_score, &ds_.lost, &ds_.of_score, &ds_.rest, &ds_of_dp_, &ds_of_rounded_o_})
    m->assign(count, 0.0);
  if (def_.bends_scores()) ds_of_slope_.assign(count, 0.0);
  for (std::size_t m = 0; m < count; ++m) {
    const std::size_t n = m / rows, i = m % rows;
    const RowStats& row = tile_stats_[i];
    const Pair of = pair(n, i);
    const double dp = ds_.weight[m], felt = of.before * of.score.slope;
    const double ds_of_dp = of.p * felt_slope(of.score.slope);
    const StoreError p_error = rounding_.of(of.p);
    const StoreError ds_error =
        rounding_.of_gradient(of.ds, of.p, scale_, square(ds_of_dp) * row.d_noise);
    if (of.visible) {
      const double of_raw = raw_noise(rounding_, scale_, d_, p_.weight[m], p_.noise[m]);
      const double of_score = exp_noise(of.raw, of_raw, of.score);
      const double dp_noise = rounding_.of_products(d_v_, square(dp), ds_.noise[m]);
      if (const int kind = tile_d_o_[i].kind; kind >= 0)
        of_key_[n].dp_noise[static_cast<std::size_t>(kind)] = dp_noise;
      const double noise = row.noise_of(of.p, of.log_p, of_score) + square(of.p) * row.from_lse();
      // Some kernels multiply by P as it was rounded for Pᵀ·dO.
      p_.noise[m] = noise + p_error.random;
      p_.of_score[m] = std::sqrt(p_.noise[m]);
      ds_of_dp_[m] = ds_of_dp;
      ds_.of_score[m] = felt * p_.of_score[m];
      const std::array<double, 2>& of_d = tile_common_d_[i].deviations;
      const double in_common = square(ds_of_dp) * (square(of_d[0]) + square(of_d[1]));
      ds_.rest[m] =
          square(of.p) * (square(kF32Roundoff * of.before) +
                          (square(of.before) + row.d_noise) * slope_noise(of_raw, of.score)) +
          ds_error.random + square(of.score.slope) * p_error.random * row.d_noise +
          square(ds_of_dp) * (row.d_noise + dp_noise) - in_common;
      ds_.noise[m] = square(ds_.of_score[m]) + in_common + ds_.rest[m];
      ds_of_rounded_o_[m] = ds_of_dp * row.d_shift;
      if (!ds_of_slope_.empty()) ds_of_slope_[m] = of.p * of.before * slope_shift(of.score.slope);
    } else {
      p_.noise[m] = ds_.noise[m] = 0;
    }
    p_.weight[m] = of.p;
    ds_.weight[m] = of.ds;
    p_.lost[m] = p_error.lost;
    ds_.lost[m] = ds_error.lost;
    any_lost_ |= p_error.lost > 0 || ds_error.lost > 0;
    OfKey& key = of_key_[n];
    const double from_lse = square(of.p) * row.from_lse();
    const double alike =
        row.alike == 0 ? 0 : p_error.random * row.alike / rounding_.alike();  // at most all of it
    key.p.add(of.p, p_.noise[m], from_lse + alike);
    key.ds.add(of.ds, ds_.noise[m], square(ds_of_dp_[m]) * row.d_noise + square(felt) * from_lse);
    if (of.p == 0) continue;
    key.p_cells.add(of.p);
    key.ds_cells.add(of.ds);
  }
}

void ColumnBlock::accumulate() {
  accumulate(p_, do_, &OfKey::p, dv_);
  accumulate(ds_, q_, &OfKey::ds, dk_);
  if (rounding_.of_16_bits())
    multiply_add(keys_, d_, q_.rows, ds_of_rounded_o_.data(), q_.rows, q_.x.data(), d_,
                 dk_.shift.data(), d_);
  if (def_.bends_scores()) {
    dk_.slope_shift.resize(dk_.total.value.size());
    multiply_add(keys_, d_, q_.rows, ds_of_slope_.data(), q_.rows, q_.x.data(), d_,
                 dk_.slope_shift.data(), d_);
  }
  for (std::size_t kind = 0; kind < repeated_.d_o.kinds(); ++kind) {
    Doubles p = ds_of_dp_;
    for (std::size_t m = 0; m < p.size(); ++m) {
      const MostlyEqual::Place& place = tile_d_o_[m % tile_d_o_.size()];
      p[m] *= place.kind == static_cast<int>(kind) ? std::sqrt(place.share) : 0;
    }
    multiply_add(keys_, d_, q_.rows, p.data(), q_.rows, q_.x.data(), d_, pq_[kind].data(), d_);
  }
}

void ColumnBlock::round_head() {
  if (!def_.rounds(ExtraRounding::kQueryHeads)) return;
  round_head(dv_, 1.0);
  round_head(dk_, scale_);
}

void ColumnBlock::round_head(Sums& sums, double factor) const {
  const Doubles& now = sums.total.value;
  sums.at_last_head.resize(now.size(), 0.0);
  sums.of_heads.resize(now.size(), 0.0);
  if (factor == 0) return;
  for (std::size_t at = 0; at < now.size(); ++at) {
    const double of_head = factor * (now[at] - sums.at_last_head[at]);
    sums.of_heads[at] += rounding_.stored(of_head) / square(factor);
    sums.at_last_head[at] = now[at];
  }
}

void ColumnBlock::accumulate(const Tile& tile, const Panel& x, Weights OfKey::*weights,
                             Sums& sums) const {
  const auto add = [&](const Doubles& left, const Doubles& right, Doubles& out) {
    multiply_add(keys_, x.d, x.rows, left.data(), x.rows, right.data(), x.d, out.data(), x.d);
  };
  sums.parts.add(keys_, x.d, x.rows, tile.weight.data(), x.rows, x.x.data(), sums.total.value);
  add(tile.noise, x.square, sums.weighed);
  if (any_lost_) add(tile.lost, x.magnitude, sums.lost);
  for (std::int64_t m = 0; m < x.rows * x.d; ++m) sums.mean.data()[m % x.d] += x.x.data()[m];
  add_up_cells(tile, x, weights, sums);
  add_up_equal(tile, x, sums);
}

ColumnResults compute_columns(const Definition& def, const HeadDirections& head, std::int64_t b,
                              std::int64_t h_kv, std::span<const std::int64_t> which,
                              std::span<const RowStats> stats) {
  return ColumnBlock(def, head, b, h_kv, which, stats).run();
}

}  // namespace flashbench::oracle

#include "oracle/columns.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "oracle/dense.h"
#include "oracle/noise.h"

namespace flashbench::oracle {
namespace {

/// Calls step(query head, first row, rows) for every tile of the query rows of a group.
template <typename Step>
void for_query_tiles(const Shape& shape, std::int64_t h_kv, Step step) {
  const std::int64_t tile = std::clamp<std::int64_t>(8192 / shape.widest_d() / 24 * 24, 24, 192);
  std::vector<std::int64_t> rows;
  for (std::int64_t g = 0; g < shape.group(); ++g)
    for (std::int64_t i0 = 0; i0 < shape.q_len; i0 += tile) {
      rows.resize(static_cast<std::size_t>(std::min(tile, shape.q_len - i0)));
      std::iota(rows.begin(), rows.end(), i0);
      step(g, h_kv * shape.group() + g, rows);
    }
}

/// Some keys of one head, against tile after tile of the queries that may see them.
class ColumnBlock {
 public:
  ColumnBlock(const Definition& def, std::int64_t b, std::int64_t h_kv,
              std::span<const std::int64_t> which, std::span<const RowStats> stats)
      : def_(def),
        b_(b),
        h_kv_(h_kv),
        which_(which),
        stats_(stats),
        keys_(static_cast<std::int64_t>(which.size())),
        d_(def.shape().d),
        d_v_(def.shape().d_v()),
        scale_(def.scale()),
        rounding_(def.problem().dtype),
        seen_(which.size(), 0) {
    std::vector<std::uint8_t> keep;
    for (const std::int64_t j : which) keep.push_back(def.kept(b, j) ? 1 : 0);
    k_.gather(def.inputs().k, b, h_kv, which, keep);
    v_.gather(def.inputs().v, b, h_kv, which, keep);
    v_.derive();
    for (Doubles* sum : {&r_.dk, &rss_dk_, &spread_dk_}) sum->assign(k_.x.size(), 0.0);
    for (Doubles* sum : {&r_.dv, &rss_dv_, &spread_dv_}) sum->assign(v_.x.size(), 0.0);
  }

  ColumnResults run() {
    for_query_tiles(def_.shape(), h_kv_,
                    [&](std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
                      if (!load(g, h, rows)) return;
                      weights();
                      accumulate();
                    });
    finish();
    return std::move(r_);
  }

 private:
  bool load(std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows);
  void weights();
  void accumulate();
  void finish();

  const Definition& def_;
  std::int64_t b_, h_kv_;
  std::span<const std::int64_t> which_;
  std::span<const RowStats> stats_;
  std::int64_t keys_, d_, d_v_;
  double scale_;
  Rounding rounding_;
  std::vector<std::uint8_t> seen_;  // [keys]: some query sees it
  Panel k_, v_, q_, do_;
  std::span<const RowStats> tile_stats_;
  std::int64_t tile_h_ = 0;
  std::vector<std::int64_t> tile_rows_;
  // [keys, rows of the tile]; steady_ds_ starts as |dO||V|ᵀ.
  Doubles p_, ds_, random_p_, random_ds_, steady_p_, steady_ds_;
  Doubles rss_dk_, rss_dv_, spread_dk_, spread_dv_;  // as dk and dv
  ColumnResults r_;
};

/// Loads a tile of queries; false when none of the keys is visible to any of them.
bool ColumnBlock::load(std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
  const std::int64_t q_len = def_.shape().q_len;
  bool any = false;
  for (std::size_t n = 0; n < which_.size(); ++n)
    for (const std::int64_t i : rows)
      if (def_.visible(b_, i, which_[n])) {
        seen_[n] = 1;
        any = true;
        break;
      }
  if (!any) return false;
  tile_h_ = h;
  tile_rows_ = rows;
  tile_stats_ = stats_.subspan(static_cast<std::size_t>(g * q_len + rows.front()), rows.size());
  std::vector<std::uint8_t> keep;
  for (const RowStats& s : tile_stats_) keep.push_back(s.empty ? 0 : 1);
  q_.gather(def_.inputs().q, b_, h, rows, keep);
  q_.derive();
  q_.transpose();
  do_.gather(def_.inputs().d_o, b_, h, rows, keep);
  do_.derive();
  do_.transpose();
  return true;
}

/// P, dS and their errors for the tile, keys down and queries across.
void ColumnBlock::weights() {
  const std::int64_t rows = q_.rows;
  const auto count = static_cast<std::size_t>(keys_ * rows);
  for (Doubles* m : {&p_, &ds_, &steady_ds_, &random_p_, &random_ds_, &steady_p_})
    m->assign(count, 0.0);
  Doubles dot_magnitude;
  magnitudes(do_.xt, dot_magnitude);
  multiply_add(keys_, rows, d_, k_.x.data(), d_, q_.xt.data(), rows, p_.data(), rows);
  multiply_add(keys_, rows, d_v_, v_.x.data(), d_v_, do_.xt.data(), rows, ds_.data(), rows);
  multiply_add(keys_, rows, d_v_, v_.magnitude.data(), d_v_, dot_magnitude.data(), rows,
               steady_ds_.data(), rows);
  const double summing = sum_noise(def_.shape().group() * def_.shape().q_len);
  for (std::size_t m = 0; m < count; ++m) {
    const std::size_t n = m / static_cast<std::size_t>(rows);
    const std::size_t i = m % static_cast<std::size_t>(rows);
    const RowStats& s = tile_stats_[i];
    const bool visible = def_.visible(b_, tile_rows_[i], which_[n]);
    const Score score =
        visible ? def_.score_with_slope(scale_ * p_[m], tile_h_, tile_rows_[i], which_[n])
                : Score{0, 0};
    const double p = visible ? std::exp(score.value - s.lse) : 0.0;
    const double ds = p * (ds_[m] - s.d) * score.slope;
    const StoreError p_error = rounding_.of(p);
    const StoreError ds_error = rounding_.of_gradient(ds, p, scale_);
    p_[m] = p;
    ds_[m] = ds;
    steady_p_[m] = (s.v + summing) * p + p_error.lost;
    steady_ds_[m] =
        (s.v + summing) * p * (steady_ds_[m] + s.a) * slope_noise(score.slope) + ds_error.lost;
    random_p_[m] = p_error.random * p_error.random;
    const double of_d = s.delta * p * score.slope;
    random_ds_[m] = ds_error.random * ds_error.random + of_d * of_d;
  }
}

void ColumnBlock::accumulate() {
  const auto add = [&](const Doubles& left, const Doubles& right, std::int64_t d, Doubles& out) {
    multiply_add(keys_, d, q_.rows, left.data(), q_.rows, right.data(), d, out.data(), d);
  };
  add(p_, do_.x, d_v_, r_.dv);
  add(random_p_, do_.square, d_v_, rss_dv_);
  add(steady_p_, do_.magnitude, d_v_, spread_dv_);
  add(ds_, q_.x, d_, r_.dk);
  add(random_ds_, q_.square, d_, rss_dk_);
  add(steady_ds_, q_.magnitude, d_, spread_dk_);
}

/// s_dV = u|dV| + rssᵢ(random(P)·dO) + Σ(vP + lost(P))|dO| + t;
/// s_dK = u|dK| + |scale|(rssᵢ((random(dS), δP∘slope)·Q) + Σ(vP(|dO||V|ᵀ + a) + lost(dS))|Q|) + t.
void ColumnBlock::finish() {
  const double size = std::abs(scale_);
  for (std::int64_t n = 0; n < keys_; ++n) {
    double dk_noise = 0, dv_noise = 0;
    for (std::int64_t c = n * d_; c < (n + 1) * d_; ++c) {
      double& dk = r_.dk.data()[c];
      dk *= scale_;
      dk_noise =
          std::max(dk_noise, rounding_.u * std::abs(dk) + rounding_.t +
                                 size * (std::sqrt(rss_dk_.data()[c]) + spread_dk_.data()[c]));
    }
    for (std::int64_t c = n * d_v_; c < (n + 1) * d_v_; ++c)
      dv_noise = std::max(dv_noise, rounding_.u * std::abs(r_.dv.data()[c]) + rounding_.t +
                                        std::sqrt(rss_dv_.data()[c]) + spread_dv_.data()[c]);
    const bool seen = seen_[static_cast<std::size_t>(n)] != 0;
    r_.noise_dk.push_back(seen ? dk_noise : 0.0);
    r_.noise_dv.push_back(seen ? dv_noise : 0.0);
  }
}

}  // namespace

ColumnResults compute_columns(const Definition& def, std::int64_t b, std::int64_t h_kv,
                              std::span<const std::int64_t> which,
                              std::span<const RowStats> stats) {
  return ColumnBlock(def, b, h_kv, which, stats).run();
}

Doubles estimate_kappa(const Definition& def, std::int64_t b, std::int64_t h_kv,
                       std::span<const std::int64_t> keys) {
  const Shape& s = def.shape();
  const double per_rss = std::abs(def.scale()) * std::sqrt(static_cast<double>(s.d));
  Panel k, q;
  k.gather(def.inputs().k, b, h_kv, keys);
  k.derive();
  Doubles kappa(static_cast<std::size_t>(s.group() * s.q_len), 0.0), dot, square;
  const auto products = [&](const Doubles& of_k, Doubles& out) {
    out.assign(static_cast<std::size_t>(k.rows * q.rows), 0.0);
    multiply_add(k.rows, q.rows, s.d, of_k.data(), s.d, q.xt.data(), q.rows, out.data(), q.rows);
  };
  for_query_tiles(
      s, h_kv, [&](std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
        q.gather(def.inputs().q, b, h, rows);
        q.transpose();
        products(k.x, dot);
        for (double& x : q.xt) x *= x;
        products(k.square, square);
        double* out = kappa.data() + g * s.q_len + rows.front();
        for (std::int64_t n = 0; n < k.rows; ++n)
          for (std::int64_t i = 0; i < q.rows; ++i) {
            const std::int64_t at = n * q.rows + i;
            const double raw = def.scale() * dot.data()[at];
            const Score score = def.score_with_slope(raw, h, rows[static_cast<std::size_t>(i)],
                                                     keys[static_cast<std::size_t>(n)]);
            const double sum = per_rss * std::sqrt(square.data()[at]);
            out[i] = std::max(out[i], score_noise(sum, score, raw));
          }
      });
  return kappa;
}

}  // namespace flashbench::oracle

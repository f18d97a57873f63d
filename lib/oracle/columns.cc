#include "oracle/columns.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "oracle/dense.h"
#include "oracle/products.h"
#include "oracle/repeated.h"
#include "oracle/sums.h"

namespace flashbench::oracle {
namespace {

/// Some keys of one head, against tile after tile of the queries that may see them.
class ColumnBlock {
 public:
  ColumnBlock(const Definition& def, const HeadDirections& head, std::int64_t b, std::int64_t h_kv,
              std::span<const std::int64_t> which, std::span<const RowStats> stats)
      : def_(def),
        directions_(head),
        b_(b),
        h_kv_(h_kv),
        which_(which),
        stats_(stats),
        keys_(static_cast<std::int64_t>(which.size())),
        d_(def.shape().d),
        d_v_(def.shape().d_v()),
        scale_(def.scale()),
        rounding_(def.problem().dtype),
        repeated_(find_repeated(def, b, h_kv, stats)),
        of_key_(which.size(), OfKey(rounding_)),
        dk_(keys_, d_),
        dv_(keys_, d_v_) {
    std::vector<std::uint8_t> keep;
    for (const std::int64_t j : which) keep.push_back(def.counts(b, j) ? 1 : 0);
    k_.gather(def.k(), b, h_kv, which, keep);
    k_.derive();
    v_.gather(def.v(), b, h_kv, which, keep);
    v_.derive();
    pq_.assign(repeated_.d_o.size(), Doubles(static_cast<std::size_t>(keys_ * d_), 0.0));
    for (OfKey& key : of_key_) key.dp_noise.assign(repeated_.d_o.size(), 0.0);
  }

  ColumnResults run() {
    for_query_tiles(def_.shape(), h_kv_,
                    [&](std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
                      if (!load(g, h, rows)) return;
                      products();
                      weights();
                      accumulate();
                    });
    for (Doubles* mean : {&dk_.mean, &dv_.mean})
      for (double& x : *mean) x /= std::max(static_cast<double>(loaded_), 1.0);
    ColumnResults results;
    results.dv = expect(dv_, &OfKey::p, 1.0, directions_.d_o);
    results.dk = expect(dk_, &OfKey::ds, scale_, directions_.q);
    return results;
  }

 private:
  struct OfKey {
    Weights p, ds;
    std::vector<double> dp_noise;  ///< of dP, for each kind of dO that many queries have
    Cells cells, ds_cells;
    std::int64_t seen = 0;  ///< queries that see it
    explicit OfKey(const Rounding& rounding) : cells(rounding), ds_cells(rounding) {}
    double alike(Weights OfKey::*of) const {
      return of == &OfKey::p ? cells.alike() : ds_cells.alike();
    }
  };
  /// P or dS of the tile, [keys, rows]; before weights() the products S and dP and their Σ of
  /// squares.
  struct Tile {
    Doubles weight, noise, lost;
    Doubles of_score;  ///< with its sign, the deviation that errors of P give it
    Doubles rest;      ///< noise - of_score²; empty where that is 0
  };
  /// Errors that rows have in common add up, with their signs. [keys, d]: Σ w·x and Σ w²·x² of
  /// deviations w.
  struct CommonErrors {
    Doubles sum, apart;
    void add(std::int64_t at, double term) {
      sum.data()[at] += term;
      apart.data()[at] += term * term;
    }
  };
  /// Terms that are added up with the same rounding each time: [keys, d] their sum.
  struct EqualTerms {
    Doubles sum;
    double count = 0;
  };
  template <typename Of>
  using ByRow = std::unordered_map<std::uint64_t, Of>;
  /// One of the two sums, as it grows.
  struct Sums {
    Expected total;
    Doubles weighed, lost;  ///< noise of random errors, and what underflow may lose
    Doubles mean;           ///< [d]: of the rows that were added up
    // [keys, d]: what rounding O does to dK through D. Rows of O that are nearly equal are rounded
    // alike, so that this adds up.
    Doubles shift;
    Doubles
        slope_shift;  ///< [keys, d]: likewise, of slopes that are off alike; of dK, where they vary
    PartialSums parts;
    ByRow<CommonErrors> of_scores;  ///< by what a row of Q holds: equal ones have equal scores
    ByRow<CommonErrors> of_rows;    ///< by what the rows of Q and dO hold: all is equal
    ByRow<EqualTerms> terms;        ///< likewise
    Sums(std::int64_t keys, std::int64_t d)
        : total(keys, d),
          weighed(total.value.size(), 0.0),
          lost(total.value.size(), 0.0),
          mean(static_cast<std::size_t>(d), 0.0),
          shift(total.value.size(), 0.0),
          parts(total.value.size()) {}
  };

  bool load(std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows);
  void products();
  void weights();
  void accumulate();
  void accumulate(const Tile& tile, const Panel& x, Sums& sums) const;
  void add_up_equal(const Tile& tile, const Panel& x, Sums& sums) const;
  Expected expect(Sums& sums, Weights OfKey::*weights, double factor, double directions) const;

  const Definition& def_;
  const HeadDirections& directions_;
  std::int64_t b_, h_kv_;
  std::span<const std::int64_t> which_;
  std::span<const RowStats> stats_;
  std::int64_t keys_, d_, d_v_;
  double scale_;
  Rounding rounding_;
  Repeated repeated_;
  std::vector<OfKey> of_key_;
  Panel k_, v_, q_, do_;
  std::span<const RowStats> tile_stats_;
  std::int64_t tile_h_ = 0, loaded_ = 0;  // loaded: rows so far
  std::vector<std::int64_t> tile_rows_;
  std::vector<int> tile_kinds_;  // of their dO, in repeated_.d_o; -1: none of these
  Tile p_, ds_;
  Doubles ds_of_dp_;         // [keys, rows of the tile]: P·slope, by which dP and D move dS
  Doubles ds_of_rounded_o_;  // [keys, rows of the tile]: what rounding O gives to dS, through D
  Doubles ds_of_slope_;      // likewise, what 1 - tanh² does
  bool any_lost_ = false;
  // Of each kind of dO, [keys, d]: Σ_i P·slope·Q of its queries. Their dO·v are off by the same.
  std::vector<Doubles> pq_;
  Sums dk_, dv_;
};

/// Loads a tile of queries; false when none of the keys is visible to any of them.
bool ColumnBlock::load(std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
  const std::int64_t q_len = def_.shape().q_len;
  bool any = false;
  for (std::size_t n = 0; n < which_.size(); ++n)
    for (const std::int64_t i : rows)
      if (def_.visible(b_, h, i, which_[n])) {
        ++of_key_[n].seen;
        any = true;
      }
  if (!any) return false;
  tile_h_ = h;
  tile_rows_ = rows;
  loaded_ += static_cast<std::int64_t>(rows.size());
  tile_stats_ = stats_.subspan(static_cast<std::size_t>(g * q_len + rows.front()), rows.size());
  std::vector<std::uint8_t> keep;
  for (const RowStats& s : tile_stats_) keep.push_back(s.empty ? 0 : 1);
  for (Panel* x : {&q_, &do_}) {
    x->gather(x == &q_ ? def_.inputs().q : def_.inputs().d_o, b_, h, rows, keep);
    x->derive();
    x->transpose();
  }
  tile_kinds_.clear();
  for (std::int64_t i = 0; i < do_.rows; ++i) {
    const auto kind = std::find(repeated_.d_o.begin(), repeated_.d_o.end(), do_.hash(i));
    tile_kinds_.push_back(
        kind == repeated_.d_o.end() ? -1 : static_cast<int>(kind - repeated_.d_o.begin()));
  }
  return true;
}

void ColumnBlock::products() {
  const std::int64_t rows = q_.rows;
  const auto count = static_cast<std::size_t>(keys_ * rows);
  for (Doubles* m : {&p_.weight, &ds_.weight, &p_.noise, &ds_.noise}) m->assign(count, 0.0);
  add_products(k_, q_, {p_.weight.data(), rows}, {p_.noise.data(), rows});
  add_products(v_, do_, {ds_.weight.data(), rows}, {ds_.noise.data(), rows});
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
    const bool visible = def_.visible(b_, tile_h_, tile_rows_[i], which_[n]);
    const double raw = scale_ * p_.weight[m];
    const Score score =
        visible ? def_.score_with_slope(raw, b_, tile_h_, tile_rows_[i], which_[n]) : Score{};
    const double log_p = row.log_p(score.value), dp = ds_.weight[m], before = dp - row.d;
    const double p = visible ? std::exp(log_p) : 0.0;
    const double ds = p * before * score.slope;
    const StoreError p_error = rounding_.of(p);
    const StoreError ds_error = rounding_.of_gradient(ds, p, scale_);
    if (visible) {
      const double of_raw = raw_noise(scale_, d_, p_.weight[m], p_.noise[m]);
      const double of_score = exp_noise(raw, of_raw, score);
      const double dp_noise = sum_noise(d_v_, square(dp), ds_.noise[m]);
      const double of_dp = row.d_noise + dp_noise;
      if (const int kind = tile_kinds_[i]; kind >= 0)
        of_key_[n].dp_noise[static_cast<std::size_t>(kind)] = dp_noise;
      const double noise = row.noise_of(p, log_p, of_score) + square(p) * row.from_lse();
      // Some kernels multiply by P as it was rounded for Pᵀ·dO.
      p_.noise[m] = noise + p_error.random;
      p_.of_score[m] = std::sqrt(p_.noise[m]);
      ds_of_dp_[m] = p * felt_slope(score.slope);
      ds_.of_score[m] = before * score.slope * p_.of_score[m];
      ds_.rest[m] = square(before * p) * (square(kF32Roundoff) + slope_noise(of_raw, score)) +
                    ds_error.random + square(ds_of_dp_[m]) * of_dp;
      ds_.noise[m] = square(ds_.of_score[m]) + ds_.rest[m];
      ds_of_rounded_o_[m] = ds_of_dp_[m] * row.d_shift;
      if (!ds_of_slope_.empty()) ds_of_slope_[m] = p * before * slope_shift(score.slope);
    } else {
      p_.noise[m] = ds_.noise[m] = 0;
    }
    p_.weight[m] = p;
    ds_.weight[m] = ds;
    p_.lost[m] = p_error.lost;
    ds_.lost[m] = ds_error.lost;
    any_lost_ |= p_error.lost > 0 || ds_error.lost > 0;
    OfKey& key = of_key_[n];
    const double from_lse = square(p) * row.from_lse();
    const double alike =
        row.alike == 0 ? 0 : p_error.random * row.alike / rounding_.alike();  // at most all of it
    key.p.add(p, p_.noise[m], from_lse + alike);
    key.ds.add(ds, ds_.noise[m],
               square(ds_of_dp_[m]) * row.d_noise + square(before * score.slope) * from_lse);
    if (p > 0) key.cells.add(p);
    if (p > 0) key.ds_cells.add(ds);
  }
}

void ColumnBlock::accumulate() {
  accumulate(p_, do_, dv_);
  accumulate(ds_, q_, dk_);
  if (rounding_.of_16_bits())
    multiply_add(keys_, d_, q_.rows, ds_of_rounded_o_.data(), q_.rows, q_.x.data(), d_,
                 dk_.shift.data(), d_);
  if (def_.bends_scores()) {
    dk_.slope_shift.resize(dk_.total.value.size());
    multiply_add(keys_, d_, q_.rows, ds_of_slope_.data(), q_.rows, q_.x.data(), d_,
                 dk_.slope_shift.data(), d_);
  }
  for (std::size_t kind = 0; kind < repeated_.d_o.size(); ++kind) {
    Doubles p = ds_of_dp_;
    for (std::size_t m = 0; m < p.size(); ++m)
      if (tile_kinds_[m % tile_kinds_.size()] != static_cast<int>(kind)) p[m] = 0;
    multiply_add(keys_, d_, q_.rows, p.data(), q_.rows, q_.x.data(), d_, pq_[kind].data(), d_);
  }
}

void ColumnBlock::accumulate(const Tile& tile, const Panel& x, Sums& sums) const {
  const auto add = [&](const Doubles& left, const Doubles& right, Doubles& out) {
    multiply_add(keys_, x.d, x.rows, left.data(), x.rows, right.data(), x.d, out.data(), x.d);
  };
  sums.parts.add(keys_, x.d, x.rows, tile.weight.data(), x.rows, x.x.data(), sums.total.value);
  add(tile.noise, x.square, sums.weighed);
  if (any_lost_) add(tile.lost, x.magnitude, sums.lost);
  for (std::int64_t m = 0; m < x.rows * x.d; ++m) sums.mean.data()[m % x.d] += x.x.data()[m];
  add_up_equal(tile, x, sums);
}

/// Adds up the errors of query rows of which there are several. Equal rows of Q have equal scores,
/// so that P is off by the same: in dS with the sign of dP - D. What else dS is off by, and how the
/// terms of a sum are rounded, is the same where dO is, too.
void ColumnBlock::add_up_equal(const Tile& tile, const Panel& x, Sums& sums) const {
  const std::size_t size = sums.weighed.size();
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const auto for_terms = [&](const Doubles& weight, auto add) {
      for (std::int64_t n = 0; n < keys_; ++n)
        for (std::int64_t c = 0; c < x.d; ++c)
          add(n * x.d + c, weight.data()[n * x.rows + i], x.x.data()[i * x.d + c]);
    };
    if (const std::uint64_t row = q_.hash(i); repeated_.q.contains(row)) {
      CommonErrors& errors = sums.of_scores[row];
      for (Doubles* m : {&errors.sum, &errors.apart}) m->resize(size);
      for_terms(tile.of_score,
                [&](std::int64_t at, double w, double term) { errors.add(at, w * term); });
    }
    const std::uint64_t row = combined(q_.hash(i), do_.hash(i));
    if (!repeated_.rows.contains(row)) continue;
    EqualTerms& equal = sums.terms[row];
    equal.sum.resize(size);
    ++equal.count;
    for_terms(tile.weight,
              [&](std::int64_t at, double w, double term) { equal.sum.data()[at] += w * term; });
    if (tile.rest.empty()) continue;
    CommonErrors& errors = sums.of_rows[row];
    for (Doubles* m : {&errors.sum, &errors.apart}) m->resize(size);
    for_terms(tile.rest,
              [&](std::int64_t at, double w, double term) { errors.add(at, std::sqrt(w) * term); });
  }
}

/// The sums with the noise of each element: `factor` times the sum over queries.
Expected ColumnBlock::expect(Sums& sums, Weights OfKey::*weights, double factor,
                             double directions) const {
  Expected& total = sums.total;
  const std::int64_t d = total.d;
  total.shared.assign(static_cast<std::size_t>(keys_), 0.0);
  Weights shared;                             // by all keys: an error of D, of LSE, of a row's P
  Doubles together(total.value.size(), 0.0);  // errors that add up, beyond the sum of squares
  for (const auto* common : {&sums.of_scores, &sums.of_rows})
    for (const auto& [row, errors] : *common)
      for (std::size_t at = 0; at < together.size(); ++at)
        together[at] += std::max(0.0, square(errors.sum[at]) - errors.apart[at]);
  for (const auto& [row, equal] : sums.terms)
    for (std::size_t at = 0; at < together.size(); ++at)
      together[at] += alike_sum_noise(equal.count) * square(equal.sum[at]);
  for (std::int64_t n = 0; n < keys_; ++n) {
    const OfKey& key = of_key_[static_cast<std::size_t>(n)];
    const Weights& w = key.*weights;
    shared.noise += w.noise;
    shared.shared += std::min(w.shared, w.noise);
    if (key.seen == 0) continue;
    const double alike = key.alike(weights);
    double all = 0, common = 0, shared_by_keys = 0;
    for (std::int64_t c = 0; c < d; ++c) {
      const std::int64_t at = n * d + c;
      double& x = total.value.data()[at];
      const double random = sums.weighed.data()[at];
      double of_all = alike * square(x) + together.data()[at] + square(sums.shift.data()[at]);
      if (!sums.slope_shift.empty()) of_all += square(sums.slope_shift.data()[at]);
      for (std::size_t kind = 0; weights == &OfKey::ds && kind < repeated_.d_o.size(); ++kind)
        of_all += key.dp_noise[kind] * square(pq_[kind].data()[at]);
      const double computed =
          random + of_all + square(sums.lost.data()[at]) + square(kF32Roundoff * x) +
          rounding_.cut_off(key.seen, sums.parts.largest_square(at)) +
          sum_noise(key.seen, sums.parts.largest_square(at), random * w.per_noise());
      all += computed;
      shared_by_keys += square(sums.shift.data()[at]);
      common += std::min(computed, of_all + square(sums.mean.data()[c]) * w.noise);
      x *= factor;
      total.noise.data()[at] = {rounding_.stored(x), square(factor) * computed};
    }
    // Rows of O that are rounded alike move dK of all keys.
    if (all > 0) total.shared.data()[n] = shared_by_keys / all;
    total.excess.data()[n] =
        mixed_excess(all == 0 ? 1 : common / all,
                     std::min({w.independent(), repeated_.different_q,
                               total.distinct(static_cast<std::size_t>(n)), directions}));
  }
  // What keys share of a query is of its dS, unless the weights are P.
  const double rows = weights == &OfKey::ds ? repeated_.different_rows : repeated_.different_q;
  total.independent = shared.noise == 0
                          ? rows
                          : shared.noise / (shared.shared + (shared.noise - shared.shared) / rows);
  return std::move(total);
}

}  // namespace

ColumnResults compute_columns(const Definition& def, const HeadDirections& head, std::int64_t b,
                              std::int64_t h_kv, std::span<const std::int64_t> which,
                              std::span<const RowStats> stats) {
  return ColumnBlock(def, head, b, h_kv, which, stats).run();
}

}  // namespace flashbench::oracle

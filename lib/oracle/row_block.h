#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <unordered_map>
#include <vector>

#include "oracle/cells.h"
#include "oracle/dense.h"
#include "oracle/equal.h"
#include "oracle/rounded_alike.h"
#include "oracle/rows.h"
#include "oracle/sums.h"

namespace flashbench::oracle {

/// A block of rows on its way through the definition. Matrices are row-major.
class RowBlock {
 public:
  RowBlock(const Definition& def, const HeadDirections& head, std::int64_t b, std::int64_t h,
           std::span<const std::int64_t> which)
      : def_(def),
        directions_(head),
        b_(b),
        h_(h),
        kv_head_(def.shape().kv_head(h)),
        which_(which),
        rows_(static_cast<std::int64_t>(which.size())),
        kv_len_(def.shape().kv_len),
        d_(def.shape().d),
        d_v_(def.shape().d_v()),
        scale_(def.scale()),
        rounding_(def.problem().dtype, def.problem().f32_math),
        of_row_(which.size()) {
    r_.stats.resize(which.size());
    std::vector<std::uint8_t> seen;
    for (const std::int64_t i : which) seen.push_back(def.empty_row(b, h, i) ? 0 : 1);
    q_.gather(def.inputs().q, b, h, which, seen);
    q_.derive();
    for (std::int64_t n = 0; n < rows_; ++n) r_.stats.data()[n].query = def.query_hash(q_.hash(n));
    if (!def.has_gradients()) return;
    do_.gather(def.inputs().d_o, b, h, which, seen);
    do_.derive();
    for (std::int64_t j = def.begin_of_all(); j < def.end_of_all(); ++j)
      keys_in_all_ += def.counts(b, j) ? 1 : 0;
  }

  RowResults run() {
    score();
    softmax();
    weigh_values();
    if (def_.has_gradients()) {
      score_gradient();
      weigh_keys();
    }
    // Equal queries have equal scores, and what is off in these they share, whatever each one sees;
    // of dS, where their dO are equal, too.
    for (std::int64_t n = 0; n < rows_; ++n) {
      for (Expected* x : {&r_.o, &r_.lse})
        if (!x->value.empty()) x->alike.push_back(q_.hash(n));
      if (!r_.dq.value.empty()) r_.dq.alike.push_back(combined(q_.hash(n), do_.hash(n)));
    }
    return std::move(r_);
  }

 private:
  /// What the noise of a row needs beside its pairs.
  struct OfRow {
    std::int64_t seen = 0;            ///< keys
    double total = 0;                 ///< noise of Σ exp(S - m), relative, from summing
    double total_alike = 0;           ///< of equal terms, which is in total
    double own = 0;                   ///< sum of own_
    double sink = 0, of_sink = 0;     ///< share of the sink, and its noise as in own_
    double d_noise = 0;               ///< of D, in this row
    double d_alike = 0;               ///< the part of that which rows of O that round alike share
    double dp_noise = 0;              ///< the part of `weights` (dS) that dO·v has
    double overlap = 0;               ///< share of all keys that other rows' P see, too
    double alike = 0;                 ///< of P in cells that are not common
    double cells_of_p = 0;            ///< how many have a part in what rounding P does to O
    Weights weights;                  ///< P, then dS
    std::vector<EqualEntries> equal;  ///< keys of equal P, then dS
    std::vector<EqualEntries> cells;  ///< keys whose P, then dS, lie in one common cell
  };

  /// Calls step(first key, keys of the tile, which of them some query sees) for every tile
  /// of keys that some row of the block sees.
  template <typename Step>
  void for_tiles(Step step) const {
    const std::int64_t tile =
        std::clamp<std::int64_t>(8192 / def_.shape().widest_d() / 24 * 24, 24, 192);
    std::vector<std::int64_t> keys;
    std::vector<std::uint8_t> keep;
    for (std::int64_t j0 = 0; j0 < kv_len_; j0 += tile) {
      keys.resize(static_cast<std::size_t>(std::min(tile, kv_len_ - j0)));
      std::iota(keys.begin(), keys.end(), j0);
      if (std::none_of(keys.begin(), keys.end(), [&](std::int64_t j) { return some_row_sees(j); }))
        continue;
      keep.clear();
      for (const std::int64_t j : keys) keep.push_back(def_.counts(b_, j) ? 1 : 0);
      step(j0, keys, keep);
    }
  }
  bool some_row_sees(std::int64_t j) const {
    return std::any_of(which_.begin(), which_.end(),
                       [&](std::int64_t i) { return def_.visible(b_, h_, i, j); });
  }

  Doubles matrix(std::int64_t columns) const {
    return Doubles(static_cast<std::size_t>(rows_ * columns), 0.0);
  }
  /// How many independent errors the weights of row n have: as many as their noise says, or as
  /// there are different ones.
  double independent(std::int64_t n) const {
    const OfRow& row = of_row_[static_cast<std::size_t>(n)];
    double different = static_cast<double>(row.seen);
    for (const EqualEntries& keys : row.equal) different -= static_cast<double>(keys.size() - 1);
    return std::min(row.weights.independent(), different);
  }
  /// How often a sum over the keys of row n meets the same terms again. Those of dS·K nearly
  /// cancel, so that its parts come back to the same values and are rounded alike each time.
  double returns(std::int64_t n) const {
    const OfRow& row = of_row_[static_cast<std::size_t>(n)];
    double squares = static_cast<double>(row.seen);
    for (const EqualEntries& keys : row.equal) {
      const double size = static_cast<double>(keys.size());
      squares += size * size - size;
    }
    return squares / static_cast<double>(row.seen);
  }
  /// Adds up the errors of equal keys in `noise` [d], a sum over keys of noise_of(key)·(x -
  /// centre)²; centre [d], null for 0.
  template <typename NoiseOf>
  void add_up(const std::vector<EqualEntries>& equal, const TensorValues& x, NoiseOf noise_of,
              const double* centre, double* noise) const {
    std::vector<WeightedRow> rows;
    for (const EqualEntries& keys : equal) {
      rows.clear();
      for (const std::int64_t j : keys) rows.push_back({b_, kv_head_, j, noise_of(j)});
      add_up_equal(x, rows, centre, noise);
    }
  }
  /// The same of keys whose weights are rounded: `noise_of` as such, or alike if they lie in one
  /// cell.
  template <typename NoiseOf>
  Doubles add_up_rounded(const OfRow& row, const TensorValues& x, NoiseOf noise_of) const {
    Doubles exact(static_cast<std::size_t>(x.dims().d), 0.0), of_cells = exact;
    add_up(row.equal, x, noise_of, nullptr, exact.data());
    add_up(row.cells, x, noise_of, nullptr, of_cells.data());
    for (std::size_t c = 0; c < exact.size(); ++c) exact[c] = std::max(exact[c], of_cells[c]);
    return exact;
  }
  /// Adds to `noise` [d_v] what rounding does to P of row n that differ within a common cell: how a
  /// kernel scales P is its own, so a border between two numbers may come between them, and moves
  /// those above it by a unit. Where their terms cancel, that does not.
  void add_cuts(std::int64_t n, double* noise) const;
  /// Adds to `noise` [d_v] what the terms P·V of equal keys of row n are off by if their V are
  /// equal, too: tokens that repeat are added up with the same rounding each time.
  void add_alike(std::int64_t n, const PartialSums& parts, double* noise);
  /// returning_noise() of the sum P·V of row n.
  double returning(std::int64_t n);
  /// out[rows, :] += left[rows, keys of this tile]·right[keys of this tile, tile.d]
  void weigh(const Doubles& left, std::int64_t j0, const Panel& tile, const Doubles& right,
             Doubles& out) const {
    multiply_add(rows_, tile.d, tile.rows, left.data() + j0, kv_len_, right.data(), tile.d,
                 out.data(), tile.d);
  }

  /// How alike errors are of products of one vector with dO of row n and of others: the mean square
  /// of the cosine between them, which is 1 where dO is the same, whatever its sign.
  double alike_gradient(std::int64_t n) const;

  void score();
  void softmax();
  void softmax_row(std::int64_t n);
  void expect_lse(std::int64_t n);
  /// Finds the keys of common cells of n's weights.
  Cells find_cells(const double* weights, OfRow& row) const;
  void weigh_row(std::int64_t n);
  void weigh_values();
  void expect_o(std::int64_t n, const Doubles& weighed, const Doubles& mean, const Doubles& lost,
                const PartialSums& parts);
  void score_gradient();
  /// Looks at how alike the rows of O are, as stored.
  void note_rows_of_o();
  void expect_d(std::int64_t n);
  void weigh_gradient(std::int64_t n);
  void expect_score_gradient(std::int64_t n);
  void weigh_keys();
  void expect_dq(std::int64_t n, const Doubles& weighed, const Doubles& lost, const Doubles& mean,
                 const Doubles& shift, const Doubles& rounded, const PartialSums& parts);

  const Definition& def_;
  const HeadDirections& directions_;
  std::int64_t b_, h_, kv_head_;
  std::span<const std::int64_t> which_;
  std::int64_t rows_, kv_len_, d_, d_v_;
  double scale_;
  Rounding rounding_;
  Panel q_, do_;
  Doubles p_;          // [rows, kv_len]: scores, then probabilities
  Doubles exp_noise_;  // [rows, kv_len]: of add_products, then noise of scores, then of P
  Doubles own_;        // [rows, kv_len]: noise of exp(S - m)/Σ, the sum taken as exact
  Doubles weight_;     // [rows, kv_len]: that and the rounding of P, then noise of dS
  Doubles lost_;       // [rows, kv_len]: P, then dS, that underflow may lose
  // [rows, kv_len], with gradients: slopes of what is done to scores; once dS is known, what it is
  // off by through them where they are off alike.
  Doubles slope_;
  Doubles slope_noise_;  // [rows, kv_len]: of slopes; only where they vary
  Doubles ds_;           // [rows, kv_len]: dP, then dS
  Doubles dp_noise_;     // [rows, kv_len]: of add_products
  RoundedAlike o_rows_;  // with gradients, in 16 bits
  Doubles o_sum_;        // [rows, d_v]: noise of O from adding up P·V; only with gradients
  std::vector<std::uint64_t> values_;  // hashes of the rows of V, once they are asked for
  bool any_lost_ = false;
  double keys_in_all_ = 0;  // that some row may see; only with gradients
  std::vector<OfRow> of_row_;
  RowResults r_;
};

}  // namespace flashbench::oracle

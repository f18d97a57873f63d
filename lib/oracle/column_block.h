#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "oracle/cells.h"
#include "oracle/columns.h"
#include "oracle/panel.h"
#include "oracle/repeated.h"
#include "oracle/sums.h"

namespace flashbench::oracle {

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
        rounding_(def.problem().dtype, def.problem().f32_math),
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
    pq_.assign(repeated_.d_o.kinds(), Doubles(static_cast<std::size_t>(keys_ * d_), 0.0));
    for (OfKey& key : of_key_) key.dp_noise.assign(repeated_.d_o.kinds(), 0.0);
  }

  ColumnResults run() {
    if (rounding_.of_16_bits()) find_common_cells();
    for_query_tiles(def_.shape(), h_kv_,
                    [&](std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
                      if (rows.front() == 0 && g > 0) round_head();
                      if (!load(g, h, rows)) return;
                      count();
                      products();
                      weights();
                      accumulate();
                    });
    round_head();
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
    Cells p_cells, ds_cells;
    std::int64_t seen = 0;  ///< queries that see it
    explicit OfKey(const Rounding& rounding) : p_cells(rounding), ds_cells(rounding) {}
    const Cells& cells(Weights OfKey::*of) const { return of == &OfKey::p ? p_cells : ds_cells; }
  };
  /// What D of a query is off by as others of its kind are (Repeated), with its sign: of P's
  /// rounding, which takes all of O with it, and of the rest of O, as far as their dO are alike.
  struct CommonD {
    std::optional<std::uint64_t> kind = {};
    std::array<double, 2> deviations{};
  };
  /// A query and a key.
  struct Pair {
    bool visible;
    Score score;
    double raw, log_p, p, before, ds;  ///< raw: scale·(q·k); before: dP - D
  };
  /// P or dS of the tile, [keys, rows]; before weights() the products S and dP and their Σ of
  /// squares.
  struct Tile {
    Doubles weight, noise, lost;
    Doubles of_score;  ///< with its sign, the deviation that errors of P give it
    Doubles rest;      ///< noise - of_score² - what D gives it; empty where that is 0
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
  /// Terms that are added up with the same rounding each time: those whose weights are the first
  /// one's. Of each key.
  struct EqualTerms {
    Doubles first, count;  ///< [keys]
    Doubles sum;           ///< [keys, d]
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
    ByRow<CommonErrors> of_scores;  ///< by what a row of Q holds, or by the kind that it is of
    std::array<ByRow<CommonErrors>, 2> of_d;  ///< of D, by kind of row
    ByRow<CommonErrors> of_rows;              ///< by what the rows of Q and dO hold: all is equal
    ByRow<EqualTerms> terms;                  ///< likewise
    Doubles in_cells;  ///< [keys, common cells, d]; empty where there are none
    /// [keys, d]: what rounding the weights of common cells does; likewise.
    Doubles cell_errors;
    /// [keys, d]: the sum as the query head before ended, and the noise of rounding what each of
    /// them gave; empty where that is not rounded.
    Doubles at_last_head, of_heads;
    Sums(std::int64_t keys, std::int64_t d)
        : total(keys, d),
          weighed(total.value.size(), 0.0),
          lost(total.value.size(), 0.0),
          mean(static_cast<std::size_t>(d), 0.0),
          shift(total.value.size(), 0.0),
          parts(total.value.size()) {}
  };

  /// Some queries say which cells of P and dS are common.
  void find_common_cells();
  /// Does this query see some of the keys?
  bool sees_some(std::int64_t h, std::int64_t i) const;
  bool load(std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows);
  CommonD common_d(std::int64_t i) const;
  void count();
  void products();
  /// Of query i of the tile and key n, after products().
  Pair pair(std::size_t n, std::size_t i) const;
  void weights();
  void accumulate();
  /// The rows of a query head have been added up: see ExtraRounding::kQueryHeads.
  void round_head();
  void round_head(Sums& sums, double factor) const;
  void accumulate(const Tile& tile, const Panel& x, Weights OfKey::*weights, Sums& sums) const;
  void add_up_cells(const Tile& tile, const Panel& x, Weights OfKey::*weights, Sums& sums) const;
  void add_up_equal(const Tile& tile, const Panel& x, Sums& sums) const;
  void add_equal_terms(const Tile& tile, const Panel& x, std::int64_t i, EqualTerms& equal) const;
  /// [keys, d]: errors that add up, beyond the sum of their squares.
  Doubles in_common(const Sums& sums, Weights OfKey::*weights) const;
  /// Adds what equal terms are off by alike to the noise [keys, d] of their sums.
  void add_returning(const Sums& sums, Doubles& noise) const;
  /// Adds up errors of D of query i.
  void add_up_d(std::int64_t i, Sums& sums) const;
  /// [keys, d]: expected squares of what rounding does through weights of common cells.
  Doubles rounded_alike(const Sums& sums, Weights OfKey::*weights) const;
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
  std::vector<RowStats> tile_stats_;
  std::vector<CommonD> tile_common_d_;
  std::int64_t tile_h_ = 0, loaded_ = 0;  // loaded: rows so far
  std::vector<std::int64_t> tile_rows_;
  std::vector<MostlyEqual::Place> tile_d_o_, tile_q_;  // of their dO and Q
  Tile p_, ds_;
  Doubles ds_of_dp_;         // [keys, rows of the tile]: P·slope, by which dP and D move dS
  Doubles ds_of_rounded_o_;  // [keys, rows of the tile]: what rounding O gives to dS, through D
  Doubles ds_of_slope_;      // likewise, what 1 - tanh² does
  bool any_lost_ = false;
  // Of each kind of dO, [keys, d]: Σ_i P·slope·Q of its queries. Their dO·v are off by the same.
  std::vector<Doubles> pq_;
  Sums dk_, dv_;
};

}  // namespace flashbench::oracle

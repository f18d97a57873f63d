#include <algorithm>
#include <cmath>
#include <utility>

#include "oracle/column_block.h"

namespace flashbench::oracle {

void ColumnBlock::add_up_cells(const Tile& tile, const Panel& x, Weights OfKey::*weights,
                               Sums& sums) const {
  for (std::int64_t n = 0; n < keys_; ++n) {
    const Cells& cells = of_key_[static_cast<std::size_t>(n)].cells(weights);
    if (!cells.any_common()) continue;
    sums.in_cells.resize(sums.total.value.size() * Cells::kMostCommon, 0.0);
    sums.cell_errors.resize(sums.total.value.size(), 0.0);
    for (std::int64_t i = 0; i < x.rows; ++i) {
      const double weight = tile.weight.data()[n * x.rows + i];
      const int slot = weight == 0 ? -1 : cells.slot(weight);
      if (slot < 0) continue;
      double* const sum = sums.in_cells.data() + (n * Cells::kMostCommon + slot) * x.d;
      double* const moved = sums.cell_errors.data() + n * x.d;
      const double error = rounding_.error(weight);
      for (std::int64_t c = 0; c < x.d; ++c) {
        sum[c] += weight * x.x.data()[i * x.d + c];
        moved[c] += error * x.x.data()[i * x.d + c];
      }
    }
  }
}

Doubles ColumnBlock::rounded_alike(const Sums& sums, Weights OfKey::*weights) const {
  Doubles noise(sums.total.value.size(), 0.0);
  if (sums.in_cells.empty()) return noise;
  const std::int64_t d = sums.total.d;
  for (std::int64_t n = 0; n < keys_; ++n)
    for (std::int64_t slot = 0; slot < Cells::kMostCommon; ++slot) {
      const Cells& cells = of_key_[static_cast<std::size_t>(n)].cells(weights);
      const double alike = cells.alike(static_cast<std::size_t>(slot));
      if (alike == 0) continue;
      const double* const sum = sums.in_cells.data() + (n * Cells::kMostCommon + slot) * d;
      for (std::int64_t c = 0; c < d; ++c) noise.data()[n * d + c] += alike * square(sum[c]);
    }
  // Weights at either end of a cell differ in what rounding does to them, which does not cancel
  // where their terms do.
  for (std::size_t at = 0; at < noise.size(); ++at)
    noise[at] = std::max(noise[at], square(sums.cell_errors[at]));
  return noise;
}

/// Adds up the errors of query rows of which there are several. Equal rows of Q have equal scores,
/// so that P is off by the same: in dS with the sign of dP - D, and through D with its sign. What
/// else dS is off by, and how the terms of a sum are rounded, is the same where dO is, too.
void ColumnBlock::add_up_equal(const Tile& tile, const Panel& x, Sums& sums) const {
  const std::size_t size = sums.weighed.size();
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const auto for_terms = [&](const Doubles& weight, auto add) {
      for (std::int64_t n = 0; n < keys_; ++n)
        for (std::int64_t c = 0; c < x.d; ++c)
          add(n * x.d + c, weight.data()[n * x.rows + i], x.x.data()[i * x.d + c]);
    };
    const MostlyEqual::Place& place = tile_q_[static_cast<std::size_t>(i)];
    const std::uint64_t hash = q_.hash(i);
    if (place.kind >= 0 || repeated_.q.contains(hash)) {
      CommonErrors& errors =
          sums.of_scores[place.kind >= 0 ? static_cast<std::uint64_t>(place.kind) + 1 : hash];
      const double alike = place.kind >= 0 ? std::sqrt(place.share) : 1;
      for (Doubles* m : {&errors.sum, &errors.apart}) m->resize(size);
      for_terms(tile.of_score,
                [&](std::int64_t at, double w, double term) { errors.add(at, alike * w * term); });
    }
    if (&sums == &dk_) add_up_d(i, sums);
    const std::uint64_t row = combined(hash, do_.hash(i));
    if (!repeated_.rows.contains(row)) continue;
    add_equal_terms(tile, x, i, sums.terms[row]);
    if (tile.rest.empty()) continue;
    CommonErrors& errors = sums.of_rows[row];
    for (Doubles* m : {&errors.sum, &errors.apart}) m->resize(size);
    for_terms(tile.rest,
              [&](std::int64_t at, double w, double term) { errors.add(at, std::sqrt(w) * term); });
  }
}

void ColumnBlock::add_equal_terms(const Tile& tile, const Panel& x, std::int64_t i,
                                  EqualTerms& equal) const {
  equal.sum.resize(static_cast<std::size_t>(keys_ * x.d));
  for (Doubles* m : {&equal.first, &equal.count}) m->resize(static_cast<std::size_t>(keys_));
  for (std::int64_t n = 0; n < keys_; ++n) {
    const double weight = tile.weight.data()[n * x.rows + i];
    double &first = equal.first.data()[n], &count = equal.count.data()[n];
    if (count == 0) first = weight;
    // At level sample they come from what a kernel wrote, which is rounded.
    constexpr double kSame = 4 * kF32Roundoff;
    if (weight == 0 || std::abs(weight - first) > kSame * std::abs(first)) continue;
    ++count;
    for (std::int64_t c = 0; c < x.d; ++c)
      equal.sum.data()[n * x.d + c] += weight * x.x.data()[i * x.d + c];
  }
}

void ColumnBlock::add_up_d(std::int64_t i, Sums& sums) const {
  const auto& [kind, of_d] = tile_common_d_[static_cast<std::size_t>(i)];
  if (!kind) return;
  for (std::size_t which = 0; which < of_d.size(); ++which) {
    if (of_d[which] == 0) continue;
    CommonErrors& errors = sums.of_d[which][*kind];
    for (Doubles* m : {&errors.sum, &errors.apart}) m->resize(sums.weighed.size());
    for (std::int64_t n = 0; n < keys_; ++n)
      for (std::int64_t c = 0; c < q_.d; ++c)
        errors.add(n * q_.d + c,
                   ds_of_dp_.data()[n * q_.rows + i] * of_d[which] * q_.x.data()[i * q_.d + c]);
  }
}

void ColumnBlock::add_returning(const Sums& sums, Doubles& noise) const {
  const std::int64_t d = sums.total.d;
  Doubles alike(noise.size(), 0.0), returning(static_cast<std::size_t>(keys_), 0.0);
  for (const auto& [row, equal] : sums.terms)
    for (std::int64_t n = 0; n < keys_; ++n) {
      const double count = equal.count.data()[n];
      if (count < 2) continue;
      const auto seen = static_cast<double>(of_key_[static_cast<std::size_t>(n)].seen);
      returning.data()[n] += returning_noise(count, seen);
      for (std::int64_t at = n * d; at < (n + 1) * d; ++at)
        alike.data()[at] += alike_sum_noise(count) * square(equal.sum.data()[at]);
    }
  for (std::int64_t at = 0; at < keys_ * d; ++at)
    noise.data()[at] +=
        std::max(alike.data()[at], returning.data()[at / d] * sums.parts.largest_square(at));
}

Doubles ColumnBlock::in_common(const Sums& sums, Weights OfKey::*weights) const {
  const auto size = sums.total.value.size();
  const auto add = [&](const ByRow<CommonErrors>& common, Doubles& to) {
    for (const auto& [row, errors] : common)
      for (std::size_t at = 0; at < size; ++at)
        to[at] += std::max(0.0, square(errors.sum[at]) - errors.apart[at]);
  };
  Doubles together(size, 0.0);
  add(sums.of_scores, together);
  add(sums.of_rows, together);
  // What rounding does to equal rows is there already, and in the cells that they are in.
  const Doubles rounded = rounded_alike(sums, weights);
  for (std::size_t at = 0; at < size; ++at) together[at] = std::max(together[at], rounded[at]);
  for (const ByRow<CommonErrors>& of_d : sums.of_d) add(of_d, together);
  add_returning(sums, together);
  return together;
}

/// The sums with the noise of each element: `factor` times the sum over queries.
Expected ColumnBlock::expect(Sums& sums, Weights OfKey::*weights, double factor,
                             double directions) const {
  Expected& total = sums.total;
  const std::int64_t d = total.d;
  total.shared.assign(static_cast<std::size_t>(keys_), 0.0);
  Weights shared;  // by all keys: an error of D, of LSE, of a row's P
  const Doubles together = in_common(sums, weights);
  for (std::int64_t n = 0; n < keys_; ++n) {
    const OfKey& key = of_key_[static_cast<std::size_t>(n)];
    const Weights& w = key.*weights;
    shared.noise += w.noise;
    shared.shared += std::min(w.shared, w.noise);
    if (key.seen == 0) continue;
    const double alike = key.cells(weights).alike();
    double all = 0, common = 0, shared_by_keys = 0;
    for (std::int64_t c = 0; c < d; ++c) {
      const std::int64_t at = n * d + c;
      double& x = total.value.data()[at];
      const double random = sums.weighed.data()[at];
      double of_all = alike * square(x) + together.data()[at] + square(sums.shift.data()[at]);
      if (!sums.slope_shift.empty()) of_all += square(sums.slope_shift.data()[at]);
      for (std::size_t kind = 0; weights == &OfKey::ds && kind < repeated_.d_o.kinds(); ++kind)
        of_all += key.dp_noise[kind] * square(pq_[kind].data()[at]);
      const double of_heads = sums.of_heads.empty() ? 0 : sums.of_heads.data()[at];
      const double computed =
          random + of_all + of_heads + square(sums.lost.data()[at]) + square(kF32Roundoff * x) +
          rounding_.cut_off(key.seen, sums.parts.largest_square(at)) +
          rounding_.of_products(key.seen, sums.parts.largest_square(at), random * w.per_noise());
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

}  // namespace flashbench::oracle

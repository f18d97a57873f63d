#include "oracle/repeated.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "oracle/cells.h"
#include "oracle/noise.h"
#include "oracle/panel.h"

namespace flashbench::oracle {

namespace {

double squared_distance(std::span<const double> x, std::span<const double> y) {
  double distance = 0;
  for (std::size_t c = 0; c < x.size(); ++c) distance += square(x[c] - y[c]);
  return distance;
}

/// Calls step(row of Q, row of dO) for all rows of a group that see something.
template <typename Step>
void for_rows(const Definition& def, std::int64_t b, std::int64_t h_kv,
              std::span<const RowStats> stats, Step step) {
  Panel q, d_o;
  for_query_tiles(def.shape(), h_kv,
                  [&](std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
                    q.gather(def.inputs().q, b, h, rows);
                    d_o.gather(def.inputs().d_o, b, h, rows);
                    for (std::int64_t i = 0; i < q.rows; ++i) {
                      const std::int64_t row =
                          g * def.shape().q_len + rows[static_cast<std::size_t>(i)];
                      if (!stats[static_cast<std::size_t>(row)].empty) step(q.row(i), d_o.row(i));
                    }
                  });
}

/// How far apart, squared, two rows of Q may be whose scores differ by less than a quarter of what
/// rounding P to the dtype tells apart.
double nearest(const Definition& def, std::int64_t b, std::int64_t h_kv) {
  constexpr std::int64_t kKeys = 64;
  const TensorValues keys = def.k();
  Doubles k(static_cast<std::size_t>(def.shape().d));
  double squares = 0, count = 0;
  for (const std::int64_t j : some_of(def.shape().kv_len, kKeys)) {
    if (!def.counts(b, j)) continue;
    keys.load(b, h_kv, j, k.data());
    squares += std::inner_product(k.begin(), k.end(), k.begin(), 0.0);
    ++count;
  }
  const double size = square(def.scale()) * squares;
  if (size == 0) return count > 0 ? std::numeric_limits<double>::infinity() : 0;
  const double told_apart = 2 * row_of(def.problem().dtype).roundoff;
  return square(told_apart / 4) * count * static_cast<double>(def.shape().d) / size;
}

/// Kinds of rows of Q that are alike, and not equal: those to which a sixteenth of some belong.
class AlikeRows {
 public:
  explicit AlikeRows(double near) : near_(near) {}
  void note(std::span<const double> row) {
    ++noted_;
    const auto like = std::find_if(kinds_.begin(), kinds_.end(), [&](const auto& kind) {
      return squared_distance(kind.first, row) <= near_;
    });
    if (like == kinds_.end())
      kinds_.emplace_back(Doubles(row.begin(), row.end()), 1);
    else
      ++like->second;
  }
  std::vector<Doubles> chosen() const {
    std::vector<Doubles> rows;
    for (const auto& [row, count] : kinds_)
      if (count >= 2 && 16 * count >= noted_) rows.push_back(row);
    return rows;
  }

 private:
  double near_;
  int noted_ = 0;
  std::vector<std::pair<Doubles, int>> kinds_;  // a row, and how many are like it
};

/// Looks at some rows for kinds of them.
void find_kinds(const Definition& def, std::int64_t b, std::int64_t h_kv,
                std::span<const RowStats> stats, Repeated& found) {
  constexpr std::int64_t kRows = 64;
  const std::int64_t q_len = def.shape().q_len, group = def.shape().group();
  const bool of_16_bits = Rounding(def.problem().dtype).of_16_bits();
  if (of_16_bits) found.near = nearest(def, b, h_kv);
  AlikeRows alike(found.near);
  Doubles q(static_cast<std::size_t>(def.shape().d)),
      d_o(static_cast<std::size_t>(def.shape().d_v()));
  for (const std::int64_t row : some_of(group * q_len, kRows)) {
    if (stats[static_cast<std::size_t>(row)].empty) continue;
    const std::int64_t h = h_kv * group + row / q_len;
    TensorValues(def.inputs().q).load(b, h, row % q_len, q.data());
    TensorValues(def.inputs().d_o).load(b, h, row % q_len, d_o.data());
    found.d_o.note(d_o);
    if (of_16_bits)
      alike.note(q);
    else
      found.mostly_q.note(q);
  }
  found.d_o.choose();
  found.mostly_q.choose();
  found.near_q = alike.chosen();
}

}  // namespace

std::optional<std::uint64_t> Repeated::kind(std::span<const double> row) const {
  std::optional<std::uint64_t> nearest;
  double least = near;
  for (std::size_t n = 0; n < near_q.size(); ++n)
    if (const double distance = squared_distance(near_q[n], row); distance <= least) {
      least = distance;
      nearest = n + 1;  // 0 is the hash of a row of zeros
    }
  if (nearest) return nearest;
  const std::uint64_t hash = row_hash(row.data(), static_cast<std::int64_t>(row.size()));
  return q.contains(hash) ? std::optional(hash) : std::nullopt;
}

double Repeated::alignment(std::uint64_t kind, std::span<const double> row) const {
  const auto found = of_one_o.find(kind);
  if (found == of_one_o.end() || found->second.d_o.empty()) return 0;
  const auto& [sum, squares] = found->second;
  const double product = std::inner_product(row.begin(), row.end(), sum.begin(), 0.0);
  const double own = std::inner_product(row.begin(), row.end(), row.begin(), 0.0);
  const double all = std::inner_product(sum.begin(), sum.end(), sum.begin(), 0.0);
  // Of rows that have nothing in common the sum's square is that of theirs, added up.
  if (own == 0 || all <= squares) return 0;
  return product / std::sqrt(own * all) * std::sqrt(1 - squares / all);
}

Repeated find_repeated(const Definition& def, std::int64_t b, std::int64_t h_kv,
                       std::span<const RowStats> stats) {
  Repeated found;
  std::unordered_set<std::uint64_t> seen, seen_rows;
  Panel q, d_o;
  for_query_tiles(def.shape(), h_kv,
                  [&](std::int64_t, std::int64_t h, const std::vector<std::int64_t>& rows) {
                    q.gather(def.inputs().q, b, h, rows);
                    d_o.gather(def.inputs().d_o, b, h, rows);
                    for (std::int64_t i = 0; i < q.rows; ++i) {
                      const std::uint64_t hash = q.hash(i), both = combined(hash, d_o.hash(i));
                      if (!seen.insert(hash).second) found.q.insert(hash);
                      if (!seen_rows.insert(both).second) found.rows.insert(both);
                    }
                  });
  found.different_q = static_cast<double>(seen.size());
  found.different_rows = static_cast<double>(seen_rows.size());
  find_kinds(def, b, h_kv, stats, found);
  if (found.q.empty() && found.near_q.empty()) return found;
  for_rows(def, b, h_kv, stats,
           [&](std::span<const double> q_row, std::span<const double> d_o_row) {
             const auto kind = found.kind(q_row);
             if (!kind) return;
             Repeated::Kind& of = found.of_one_o[*kind];
             of.d_o.resize(d_o_row.size());
             for (std::size_t c = 0; c < d_o_row.size(); ++c) {
               of.d_o[c] += d_o_row[c];
               of.squares += square(d_o_row[c]);
             }
           });
  return found;
}

}  // namespace flashbench::oracle

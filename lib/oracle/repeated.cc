#include "oracle/repeated.h"

#include <algorithm>
#include <cmath>
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

std::span<const double> row_of(const Panel& panel, std::int64_t i) {
  return {panel.x.data() + i * panel.d, static_cast<std::size_t>(panel.d)};
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
                      if (!stats[static_cast<std::size_t>(row)].empty)
                        step(row_of(q, i), row_of(d_o, i));
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
  const double told_apart = 2 * flashbench::row_of(def.problem().dtype).roundoff;
  return size > 0 ? square(told_apart / 4) * count * static_cast<double>(def.shape().d) / size : 0;
}

/// Kinds of rows that are alike, and not equal: those to which a sixteenth of some rows belong.
void find_alike(const Definition& def, std::int64_t b, std::int64_t h_kv,
                std::span<const RowStats> stats, Repeated& found) {
  constexpr std::int64_t kRows = 64;
  const std::int64_t q_len = def.shape().q_len, group = def.shape().group();
  found.near = nearest(def, b, h_kv);
  std::vector<std::pair<Doubles, std::int64_t>> kinds;  // a row of Q, and how many are like it
  std::int64_t seen = 0;
  Doubles q(static_cast<std::size_t>(def.shape().d));
  for (const std::int64_t row : some_of(group * q_len, kRows)) {
    if (stats[static_cast<std::size_t>(row)].empty) continue;
    TensorValues(def.inputs().q).load(b, h_kv * group + row / q_len, row % q_len, q.data());
    ++seen;
    const auto like = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) {
      return squared_distance(kind.first, q) <= found.near;
    });
    if (like == kinds.end())
      kinds.emplace_back(q, 1);
    else
      ++like->second;
  }
  for (const auto& [row, count] : kinds)
    if (count >= 2 && 16 * count >= seen)
      found.of_one_o[row_hash(row.data(), def.shape().d)].q = row;
}

}  // namespace

std::uint64_t Repeated::kind(std::span<const double> row) const {
  if (of_one_o.empty()) return 0;
  const std::uint64_t hash = row_hash(row.data(), static_cast<std::int64_t>(row.size()));
  if (of_one_o.contains(hash)) return hash;
  for (const auto& [key, kind] : of_one_o)
    if (!kind.q.empty() && squared_distance(kind.q, row) <= near) return key;
  return 0;
}

double Repeated::alignment(std::uint64_t kind, std::span<const double> row) const {
  const auto found = of_one_o.find(kind);
  if (found == of_one_o.end() || found->second.d_o.empty()) return 0;
  double product = 0, own = 0, others = 0;
  for (std::size_t c = 0; c < row.size(); ++c) {
    const double other = found->second.d_o[c] - row[c];
    product += row[c] * other;
    own += square(row[c]);
    others += square(other);
  }
  return own > 0 && others > 0 ? product / std::sqrt(own * others) : 0;
}

Repeated find_repeated(const Definition& def, std::int64_t b, std::int64_t h_kv,
                       std::span<const RowStats> stats) {
  constexpr std::int64_t kMostKinds = 8;
  Repeated found;
  std::unordered_set<std::uint64_t> seen, seen_rows;
  std::unordered_map<std::uint64_t, std::int64_t> kinds;
  std::int64_t counted = 0;
  Panel q, d_o;
  for_query_tiles(def.shape(), h_kv,
                  [&](std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
                    q.gather(def.inputs().q, b, h, rows);
                    d_o.gather(def.inputs().d_o, b, h, rows);
                    for (std::int64_t i = 0; i < q.rows; ++i) {
                      if (!seen.insert(q.hash(i)).second) found.q.insert(q.hash(i));
                      const std::uint64_t both = combined(q.hash(i), d_o.hash(i));
                      if (!seen_rows.insert(both).second) found.rows.insert(both);
                      const std::int64_t row =
                          g * def.shape().q_len + rows[static_cast<std::size_t>(i)];
                      if (stats[static_cast<std::size_t>(row)].empty) continue;
                      ++kinds[d_o.hash(i)];
                      ++counted;
                    }
                  });
  found.different_q = static_cast<double>(seen.size());
  found.different_rows = static_cast<double>(seen_rows.size());
  for (const auto& [kind, count] : kinds)
    if (count > 1 && kMostKinds * count >= counted) found.d_o.push_back(kind);
  std::sort(found.d_o.begin(), found.d_o.end());
  if (Rounding(def.problem().dtype).of_16_bits()) find_alike(def, b, h_kv, stats, found);
  for (const std::uint64_t hash : found.q) found.of_one_o[hash];
  if (found.of_one_o.empty()) return found;
  for_rows(def, b, h_kv, stats,
           [&](std::span<const double> q_row, std::span<const double> d_o_row) {
             const std::uint64_t kind = found.kind(q_row);
             if (kind == 0) return;
             Doubles& sum = found.of_one_o[kind].d_o;
             sum.resize(d_o_row.size());
             for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += d_o_row[c];
           });
  return found;
}

}  // namespace flashbench::oracle

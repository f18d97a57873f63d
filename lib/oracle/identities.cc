#include "oracle/identities.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "oracle/columns.h"
#include "oracle/noise.h"

namespace flashbench::oracle {
namespace {

/// One row of a tensor as doubles.
void load(const Tensor& t, std::int64_t b, std::int64_t h, std::int64_t r, Doubles& out) {
  const std::int64_t d = t.dims().d;
  out.resize(static_cast<std::size_t>(d));
  double* to = out.data();
  with_dtype(t.dtype(), [&](auto zero) {
    const auto* from = t.as<decltype(zero)>() + t.dims().index(b, h, r, 0);
    for (std::int64_t c = 0; c < d; ++c) to[c] = static_cast<double>(to_f32(from[c]));
  });
}

double interpolate(const NoiseProfile& profile, std::int64_t row) {
  const auto above = profile.lower_bound(row);
  if (above == profile.end()) return profile.empty() ? 0.0 : profile.rbegin()->second;
  if (above == profile.begin()) return above->second;
  const auto below = std::prev(above);
  const double part =
      static_cast<double>(row - below->first) / static_cast<double>(above->first - below->first);
  return below->second + part * (above->second - below->second);
}

/// Σ x·y over the rows of a head, and its noise: the rows of y are off by noise(row).
struct InnerProduct {
  double sum = 0, variance = 0;

  template <typename Keep>
  void add(const Tensor& x, const Tensor& y, std::int64_t b, std::int64_t h,
           const NoiseProfile& noise, Keep keep) {
    Doubles xs, ys;
    for (std::int64_t r = 0; r < x.dims().rows; ++r) {
      if (!keep(r)) continue;  // contributes nothing, and may hold a NaN
      load(x, b, h, r, xs);
      load(y, b, h, r, ys);
      double squares = 0;
      for (std::size_t c = 0; c < xs.size(); ++c) {
        sum += xs[c] * ys[c];
        squares += xs[c] * xs[c];
      }
      const double s = interpolate(noise, r);
      variance += squares * s * s;
    }
  }
};

/// What one column of V holds over the kept keys, and the largest |K| of all.
struct KeyRanges {
  Doubles low, high;
  double largest_k = 0;
};

KeyRanges key_ranges(const Definition& def, std::int64_t b, std::int64_t h_kv) {
  const auto d = static_cast<std::size_t>(def.shape().d_v());
  const double inf = std::numeric_limits<double>::infinity();
  KeyRanges r{Doubles(d, inf), Doubles(d, -inf)};
  Doubles row;
  for (std::int64_t j = 0; j < def.shape().kv_len; ++j) {
    if (!def.kept(b, j)) continue;
    load(def.inputs().v, b, h_kv, j, row);
    for (std::size_t c = 0; c < d; ++c) {
      r.low[c] = std::min(r.low[c], row[c]);
      r.high[c] = std::max(r.high[c], row[c]);
    }
    load(def.inputs().k, b, h_kv, j, row);
    for (const double x : row) r.largest_k = std::max(r.largest_k, std::abs(x));
  }
  return r;
}

/// Mean |V| over the kept keys, [d_v].
Doubles mean_magnitude(const Definition& def, std::int64_t b, std::int64_t h_kv) {
  const Shape& s = def.shape();
  Doubles mean(static_cast<std::size_t>(s.d_v()), 0.0), row;
  double kept = 0;
  for (std::int64_t j = 0; j < s.kv_len; ++j) {
    if (!def.kept(b, j)) continue;
    load(def.inputs().v, b, h_kv, j, row);
    for (std::size_t c = 0; c < mean.size(); ++c) mean[c] += std::abs(row[c]);
    ++kept;
  }
  for (double& x : mean) x /= std::max(kept, 1.0);
  return mean;
}

}  // namespace

std::vector<RowStats> estimate_stats(const Definition& def, const Outputs& out, std::int64_t b,
                                     std::int64_t h_kv, std::span<const std::int64_t> probe_keys) {
  const Shape& s = def.shape();
  const double u = Rounding(def.problem().dtype).u;
  const Doubles kappa = estimate_kappa(def, b, h_kv, probe_keys);
  const Doubles mean_v = mean_magnitude(def, b, h_kv);
  std::vector<RowStats> stats(kappa.size());
  Doubles o, d_o;
  for (std::size_t n = 0; n < stats.size(); ++n) {
    const std::int64_t h = h_kv * s.group() + static_cast<std::int64_t>(n) / s.q_len;
    const std::int64_t i = static_cast<std::int64_t>(n) % s.q_len;
    RowStats& r = stats[n];
    r.empty = def.empty_row(b, i);
    r.lse = static_cast<double>(out.lse.at(b, h, i, 0));
    r.v = softmax_noise(kappa[n], def.row_length(i));
    if (r.empty) continue;
    load(out.o, b, h, i, o);
    load(def.inputs().d_o, b, h, i, d_o);
    double o_square = 0, do_square = 0, v_square = 0;
    for (std::size_t c = 0; c < o.size(); ++c) {
      r.d += d_o[c] * o[c];
      const double spread = std::max(std::abs(o[c]), mean_v[c]);
      r.a += std::abs(d_o[c]) * spread;
      o_square += o[c] * o[c];
      v_square += spread * spread;
      do_square += d_o[c] * d_o[c];
    }
    // |dO|·s_O with s_O near 2u|O| + v·ΣP|V|: rss(PV) is about |O| unless V is constant.
    const double columns = static_cast<double>(o.size());
    r.delta =
        std::sqrt(do_square / columns) * (2 * u * std::sqrt(o_square) + r.v * std::sqrt(v_square));
  }
  return stats;
}

void check_value_sums(const Definition& def, const Tensor& dv, std::int64_t b, std::int64_t h_kv,
                      std::span<const RowStats> stats, TensorCheck& check) {
  const Shape& s = def.shape();
  const Rounding rounding(def.problem().dtype);
  const auto d = static_cast<std::size_t>(s.d_v());
  Doubles got(d, 0.0), want(d, 0.0), squares(d, 0.0), coherent(d, 0.0), row;
  for (std::int64_t j = 0; j < s.kv_len; ++j) {
    load(dv, b, h_kv, j, row);
    for (std::size_t c = 0; c < d; ++c) {
      got[c] += row[c];
      squares[c] += row[c] * row[c];
    }
  }
  const double lost = rounding.t * static_cast<double>(s.kv_len);
  for (std::size_t n = 0; n < stats.size(); ++n) {
    if (stats[n].empty) continue;
    const auto at = static_cast<std::int64_t>(n);
    load(def.inputs().d_o, b, h_kv * s.group() + at / s.q_len, at % s.q_len, row);
    for (std::size_t c = 0; c < d; ++c) {
      want[c] += row[c];
      squares[c] += row[c] * row[c];
      coherent[c] += (stats[n].v + lost) * std::abs(row[c]);
    }
  }
  for (std::size_t c = 0; c < d; ++c)
    check.number(got[c], want[c], rounding.u * std::sqrt(squares[c]) + coherent[c] + lost,
                 {b, h_kv, 0, static_cast<std::int64_t>(c)});
}

void check_value_range(const Definition& def, const Tensor& o, std::int64_t b, std::int64_t h_kv,
                       TensorCheck& check) {
  const Shape& s = def.shape();
  const Rounding rounding(def.problem().dtype);
  const KeyRanges range = key_ranges(def, b, h_kv);
  const double d = static_cast<double>(s.d);
  Doubles row, q;
  for (std::int64_t h = h_kv * s.group(); h < (h_kv + 1) * s.group(); ++h)
    for (std::int64_t i = 0; i < s.q_len; ++i) {
      if (def.empty_row(b, i)) continue;
      load(o, b, h, i, row);
      load(def.inputs().q, b, h, i, q);
      double q_square = 0;
      for (const double x : q) q_square += x * x;
      // kappa at its largest: |k| is nowhere above largest_k.
      const double kappa =
          std::abs(def.scale()) * std::sqrt(d) * std::sqrt(q_square) * range.largest_k;
      // Rounding of O and of P, and what P's row may be off.
      const double relative = 2 * rounding.u + softmax_noise(kappa, def.row_length(i)) +
                              rounding.t * static_cast<double>(s.kv_len);
      for (std::size_t c = 0; c < row.size(); ++c) {
        const double nearest = std::clamp(row[c], range.low[c], range.high[c]);
        const double size = std::max(std::abs(range.low[c]), std::abs(range.high[c]));
        if (nearest != row[c])
          check.number(row[c], nearest, relative * size + rounding.t,
                       {b, h, i, static_cast<std::int64_t>(c)});
      }
    }
}

void check_inner_products(const Definition& def, const Outputs& out, std::int64_t b,
                          std::int64_t h_kv, std::span<const NoiseProfile> dq_noise,
                          const NoiseProfile& dk_noise, TensorCheck& check) {
  const Shape& s = def.shape();
  InnerProduct queries, keys;
  for (std::int64_t g = 0; g < s.group(); ++g)
    queries.add(def.inputs().q, out.dq, b, h_kv * s.group() + g,
                dq_noise[static_cast<std::size_t>(g)],
                [&](std::int64_t i) { return !def.empty_row(b, i); });
  keys.add(def.inputs().k, out.dk, b, h_kv, dk_noise,
           [&](std::int64_t j) { return def.kept(b, j); });
  check.number(keys.sum, queries.sum, std::sqrt(queries.variance + keys.variance), {b, h_kv, 0, 0});
}

}  // namespace flashbench::oracle

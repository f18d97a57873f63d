#include "oracle/identities.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

#include "oracle/lse_error.h"
#include "oracle/noise.h"
#include "oracle/noise_profile.h"
#include "oracle/noisy_products.h"
#include "oracle/rounded_alike.h"
#include "oracle/rounding_of_o.h"

namespace flashbench::oracle {
namespace {

/// A random sign for each channel over its deviation, so that each has an equal part in the noise.
Doubles random_vector(const Doubles& deviations, std::mt19937_64& random) {
  Doubles a;
  for (const double s : deviations) a.push_back(s == 0 ? 0 : random() % 2 == 0 ? 1 / s : -1 / s);
  return a;
}

double norm(const Tensor& t, std::int64_t b, std::int64_t h, std::int64_t r) {
  Doubles row;
  load_row(t, b, h, r, row);
  double sum = 0;
  for (const double x : row) sum += x * x;
  return std::sqrt(sum);
}

constexpr int kVectors = 4;        ///< pairs of random vectors
constexpr double kDeviations = 3;  ///< half the limit, over the deviation of a sum of many rows

double one(std::int64_t) { return 1; }

/// Of the rows of a group's heads, one after the other.
NoiseProfile profile_of(const Definition& def, const SampledGroup& group,
                        Expected RowResults::*tensor) {
  const Shape& s = def.shape();
  NoiseProfile profile;
  for (const RowPart* part : group.rows)
    for (std::size_t n = 0; n < part->rows.size(); ++n) {
      if (part->results.stats[n].empty) continue;
      const std::int64_t i = part->rows[n];
      // Gradients are proportional to dO.
      const double unit =
          tensor == &RowResults::dq ? norm(def.inputs().d_o, group.b, part->h, i) : 1;
      profile.add(part->h % s.group() * s.q_len + i, part->results.*tensor, n, unit);
    }
  profile.finish();
  return profile;
}

NoiseProfile profile_of(const Definition& def, const ColumnPart& keys, const Expected& x) {
  NoiseProfile profile;
  for (std::size_t n = 0; n < keys.keys.size(); ++n)
    if (def.counts(keys.b, keys.keys[n])) profile.add(keys.keys[n], x, n, 1);
  profile.finish();
  return profile;
}

/// The largest of the sampled rows, relative: of what moves all P of a row alike, and of what moves
/// one.
struct NoiseOfP {
  double all = 0, one = 0, alike = 0;
};
NoiseOfP noise_of_p(const Definition& def, const SampledGroup& group) {
  NoiseOfP most;
  const double stored = Rounding(def.problem().dtype).of(1).random;
  for (const RowPart* part : group.rows)
    for (const RowStats& row : part->results.stats) {
      most.alike = std::max(most.alike, row.alike);
      most.all = std::max(most.all, row.alike + row.from_lse());
      most.one = std::max(most.one, stored + row.exps_noise + row.from_lse());
    }
  return most;
}

TensorNoise noise_of(const Definition& def, const SampledGroup& group, NoiseProfile profile) {
  return {std::move(profile), Rounding(def.problem().dtype), noise_of_p(def, group).one};
}

/// Keys that may be visible to some row.
std::int64_t keys_in_all(const Definition& def) { return def.end_of_all() - def.begin_of_all(); }

/// Whether all rows of Q that see something hold, and see, the same: then P is.
bool rows_of_p_are_equal(const Definition& def, const SampledGroup& group) {
  const Shape& s = def.shape();
  if (def.problem().alibi != Alibi::kNone || def.has_bias() || def.has_sinks())
    return false;  // a row's, a head's own
  // Neither end of what a row may see falls.
  if (def.begin_of_row(0) != def.begin_of_row(s.q_len - 1) ||
      def.end_of_row(0) != def.end_of_row(s.q_len - 1))
    return false;
  Doubles first, row;
  for (std::int64_t n = 0; n < s.group() * s.q_len; ++n) {
    const std::int64_t i = n % s.q_len;
    const std::int64_t h = group.h_kv * s.group() + n / s.q_len;
    if (def.empty_row(group.b, h, i)) continue;
    load_row(def.inputs().q, group.b, h, i, row);
    if (first.empty()) first = row;
    if (row != first) return false;
  }
  return true;
}

/// Beyond it an LSE in f32 says too little of P.
constexpr double kLargeLse = 1 << 14;

/// Maximum and sum of a row, from its scores.
void set_softmax(const Definition& def, std::int64_t b, std::int64_t h, std::int64_t i,
                 RowStats& r) {
  const Shape& s = def.shape();
  Doubles q, k, scores;
  load_row(def.inputs().q, b, h, i, q);
  for (std::int64_t j = def.begin_of_row(i); j < def.end_of_row(i); ++j) {
    if (!def.visible(b, h, i, j)) continue;
    load_row(def.k(), b, s.kv_head(h), j, k);
    const double product = std::inner_product(q.begin(), q.end(), k.begin(), 0.0);
    scores.push_back(def.score(def.scale() * product, b, h, i, j));
  }
  if (const auto sink = def.sink(h)) scores.push_back(*sink);
  r.max = *std::max_element(scores.begin(), scores.end());
  long double sum = 0;
  for (const double score : scores) sum += std::exp(score - r.max);
  r.log_sum = static_cast<double>(std::log(sum));
}

}  // namespace

std::vector<RowStats> estimate_stats(const Definition& def, const Outputs& out,
                                     const SampledGroup& group) {
  const Shape& s = def.shape();
  const Rounding rounding(def.problem().dtype);
  const NoiseOfP all = noise_of_p(def, group);
  std::vector<RowStats> stats(static_cast<std::size_t>(s.group() * s.q_len));
  Doubles o, d_o, q;
  for (std::int64_t g = 0; g < s.group(); ++g) {
    const std::int64_t h = group.h_kv * s.group() + g;
    const RoundingOfO rounded(def, group, h);
    const LseError lse_error(def, out, group, h);
    Profile exps, d_noise, d_of_o, p_rounded;  // that of D as a share of |dO|²; its part
    std::map<std::int64_t, const RowStats*> exact;
    for (const RowPart* part : group.rows)
      for (std::size_t n = 0; part->h == h && n < part->rows.size(); ++n) {
        const RowStats& known = part->results.stats[n];
        if (known.empty) continue;
        exact[part->rows[n]] = &known;
        exps.set(part->rows[n], known.exps_noise);
        const double size = norm(def.inputs().d_o, group.b, h, part->rows[n]);
        d_noise.set(part->rows[n], size == 0 ? 0 : known.d_noise / square(size));
        d_of_o.set(part->rows[n], known.d_noise == 0 ? 0 : known.d_of_o / known.d_noise);
        p_rounded.set(part->rows[n], known.p_rounded);
      }
    for (std::int64_t i = 0; i < s.q_len; ++i) {
      RowStats& r = stats[static_cast<std::size_t>(g * s.q_len + i)];
      if (const auto known = exact.find(i); known != exact.end()) {
        r = *known->second;
        continue;
      }
      r.empty = def.empty_row(group.b, h, i);
      r.max = r.empty ? def.lse_of_empty_row(h)
                      : lse_error.corrected(static_cast<double>(out.lse.at(group.b, h, i, 0)));
      if (!r.empty && std::abs(r.max) > kLargeLse) set_softmax(def, group.b, h, i, r);
      r.lse = r.max + r.log_sum;
      if (r.empty) continue;
      load_row(def.inputs().q, group.b, h, i, q);
      r.query = def.query_hash(row_hash(q.data(), s.d));
      load_row(out.o, group.b, h, i, o);
      load_row(def.inputs().d_o, group.b, h, i, d_o);
      double size = 0, stored = 0;
      for (std::size_t c = 0; c < o.size(); ++c) {
        r.d += d_o[c] * o[c];
        size += square(d_o[c]);
        stored += square(d_o[c]) * rounding.stored(o[c]);
      }
      r.d_shift = rounded.shift(i, d_o);
      r.exps_noise = exps(i);
      r.alike = all.alike;
      r.lse_noise = 2 * square(kF32Roundoff * r.lse) + r.exps_noise;
      r.d_noise = std::max(stored, d_noise(i) * size);
      r.d_of_o = d_of_o(i) * r.d_noise;
      r.p_rounded = p_rounded(i);
    }
  }
  return stats;
}

void check_value_sums(const Definition& def, const Tensor& dv, const SampledGroup& group,
                      std::span<const RowStats> stats, const ColumnPart& keys, TensorCheck& check) {
  const Shape& s = def.shape();
  const auto d = static_cast<std::size_t>(s.d_v());
  const TensorNoise noise = noise_of(def, group, profile_of(def, keys, keys.results.dv));
  Doubles got(d, 0.0), want(d, 0.0), of_values(d, 0.0), of_rows(d, 0.0), alike(d, 0.0), row;
  // Where P is the same for all queries, dV is P·Σ dO: in 16 bits a channel's products, of weights
  // of few digits and one number, are all rounded up, or all down, by as much as their mantissas
  // say.
  const bool one_p = noise.rounding.of_16_bits() && rows_of_p_are_equal(def, group);
  const double smallest = noise.rounding.smallest();
  double sizes = 0, excess = 0;  // of all keys' noise
  RoundedAlike rounded;
  for (std::int64_t j = 0; j < s.kv_len; ++j) {
    load_row(dv, group.b, group.h_kv, j, row);
    double values = 0;
    for (std::size_t c = 0; c < d; ++c) {
      if (noise.profile.channel(c) > 0) values += square(row[c] / noise.profile.channel(c));
      got[c] += row[c];
      of_values[c] += noise.of(row[c]);
      if (!def.counts(group.b, j)) continue;  // exactly 0
      // Next to the smallest number rounding has no random sign: 0 loses what it stands for.
      if (std::abs(row[c]) < 8 * smallest) alike[c] += smallest;
      if (one_p) alike[c] += 2.0 / 3 * std::sqrt(noise.rounding.stored(row[c]));
    }
    if (!def.counts(group.b, j)) continue;
    rounded.add(row, 1);
    sizes += noise.profile.row(j, 1) / static_cast<double>(d);
    excess += noise.profile.excess(j, 1, values) / static_cast<double>(d);
  }
  for (std::size_t n = 0; n < stats.size(); ++n) {
    if (stats[n].empty) continue;
    const auto at = static_cast<std::int64_t>(n);
    const std::int64_t h = group.h_kv * s.group() + at / s.q_len;
    const double sink = stats[n].sink_share(def.sink(h)), keys_share = 1 - sink;
    const double of_sink =
        sink == 0 ? 0 : square(sink) * (sink_noise(*def.sink(h)) + stats[n].lse_noise);
    load_row(def.inputs().d_o, group.b, h, at % s.q_len, row);
    for (std::size_t c = 0; c < d; ++c) {
      want[c] += keys_share * row[c];
      of_rows[c] += square(row[c]) * (stats[n].from_lse() + stats[n].alike + of_sink);
    }
  }
  const double repeats = noise.profile.repeats(static_cast<double>(keys_in_all(def)));
  const double all = noise_of_p(def, group).all;
  for (std::size_t c = 0; c < d; ++c) {
    const double variance = square(noise.profile.channel(c)) * (repeats * sizes + excess) +
                            of_values[c] + repeats * of_rows[c] + all * square(want[c]) +
                            square(alike[c] / 2) + rounded.noise(c, noise.rounding);
    check.number(got[c], want[c], kDeviations * std::sqrt(variance),
                 {group.b, group.h_kv, 0, static_cast<std::int64_t>(c)});
  }
}

void check_score_products(const Definition& def, const Outputs& out, const SampledGroup& group,
                          const ColumnPart& keys, TensorCheck& check) {
  const Shape& s = def.shape();
  const TensorNoise dq = noise_of(def, group, profile_of(def, group, &RowResults::dq));
  const TensorNoise dk = noise_of(def, group, profile_of(def, keys, keys.results.dk));
  const auto counts = [&](std::int64_t j) { return def.counts(group.b, j); };
  if (dq.profile.channels().empty() || dk.profile.channels().empty()) return;
  std::mt19937_64 random(def.problem().seed);
  for (int n = 0; n < kVectors; ++n) {
    const Doubles a = random_vector(dk.profile.channels(), random),
                  b = random_vector(dq.profile.channels(), random);
    Products queries, with_keys;
    for (std::int64_t g = 0; g < s.group(); ++g) {
      const std::int64_t h = group.h_kv * s.group() + g;
      const auto sees = [&](std::int64_t i) { return !def.empty_row(group.b, h, i); };
      queries.add(group.b, h, def.inputs().q, a, out.dq, b, dq, g * s.q_len, s.q_len, sees,
                  [&](std::int64_t i) { return norm(def.inputs().d_o, group.b, h, i); });
    }
    with_keys.add(group.b, group.h_kv, def.k(), b, out.dk, a, dk, 0, keys_in_all(def), counts, one);
    check.number(with_keys.sum, queries.sum,
                 kDeviations * std::sqrt(queries.with_rounding(b, dq.rounding) +
                                         with_keys.with_rounding(a, dk.rounding)),
                 {group.b, group.h_kv, 0, 0});
  }
}

void check_value_products(const Definition& def, const Outputs& out, const SampledGroup& group,
                          const ColumnPart& keys, TensorCheck& check) {
  const Shape& s = def.shape();
  const TensorNoise o = noise_of(def, group, profile_of(def, group, &RowResults::o));
  const TensorNoise dv = noise_of(def, group, profile_of(def, keys, keys.results.dv));
  const auto counts = [&](std::int64_t j) { return def.counts(group.b, j); };
  if (o.profile.channels().empty() || dv.profile.channels().empty()) return;
  const double all = noise_of_p(def, group).all;
  std::mt19937_64 random(def.problem().seed);
  for (int n = 0; n < kVectors; ++n) {
    const Doubles a = random_vector(o.profile.channels(), random),
                  b = random_vector(dv.profile.channels(), random);
    Products queries, with_keys;
    for (std::int64_t g = 0; g < s.group(); ++g) {
      const std::int64_t h = group.h_kv * s.group() + g;
      const auto sees = [&](std::int64_t i) { return !def.empty_row(group.b, h, i); };
      queries.add(group.b, h, def.inputs().d_o, b, out.o, a, o, g * s.q_len, s.q_len, sees, one);
    }
    with_keys.add(group.b, group.h_kv, def.v(), a, out.dv, b, dv, 0, keys_in_all(def), counts, one);
    // P is computed again for dV: what is off in all of a row moves all that it gives to the keys.
    check.number(with_keys.sum, queries.sum,
                 kDeviations * std::sqrt(queries.with_rounding(a, o.rounding) +
                                         with_keys.with_rounding(b, dv.rounding) +
                                         all * (queries.squares + square(queries.sum))),
                 {group.b, group.h_kv, 0, 0});
  }
}

}  // namespace flashbench::oracle

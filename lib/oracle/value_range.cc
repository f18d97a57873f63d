#include <algorithm>
#include <cmath>
#include <limits>

#include "oracle/identities.h"
#include "oracle/noise.h"
#include "oracle/noisy_products.h"

namespace flashbench::oracle {
namespace {

constexpr double kDeviations = 3;  // half the limit, over the deviation of a sum of many rows

/// What one column of V holds over the keys that count.
struct KeyRanges {
  Doubles low, high;
};

KeyRanges key_ranges(const Definition& def, std::int64_t b, std::int64_t h_kv) {
  const auto d = static_cast<std::size_t>(def.shape().d_v());
  const double inf = std::numeric_limits<double>::infinity();
  // A sink is a key whose value is 0.
  KeyRanges r{Doubles(d, def.has_sinks() ? 0 : inf), Doubles(d, def.has_sinks() ? 0 : -inf)};
  Doubles row;
  for (std::int64_t j = 0; j < def.shape().kv_len; ++j) {
    if (!def.counts(b, j)) continue;
    load_row(def.v(), b, h_kv, j, row);
    for (std::size_t c = 0; c < d; ++c) {
      r.low[c] = std::min(r.low[c], row[c]);
      r.high[c] = std::max(r.high[c], row[c]);
    }
  }
  return r;
}

}  // namespace

void check_value_range(const Definition& def, const Tensor& o, std::int64_t b, std::int64_t h_kv,
                       TensorCheck& check) {
  const Shape& s = def.shape();
  const Rounding rounding(def.problem().dtype);
  const KeyRanges range = key_ranges(def, b, h_kv);
  // Rounding of O and of P, and how P may sum up. P itself may be anything here.
  const double relative =
      2 * row_of(def.problem().dtype).roundoff +
      kDeviations * std::sqrt(sum_noise(s.kv_len, 1, 1 / static_cast<double>(s.kv_len))) +
      rounding.smallest() * static_cast<double>(s.kv_len);
  Doubles row;
  for (std::int64_t h = h_kv * s.group(); h < (h_kv + 1) * s.group(); ++h)
    for (std::int64_t i = 0; i < s.q_len; ++i) {
      if (def.empty_row(b, h, i)) continue;
      load_row(o, b, h, i, row);
      for (std::size_t c = 0; c < row.size(); ++c) {
        const double nearest = std::clamp(row[c], range.low[c], range.high[c]);
        const double size = std::max(std::abs(range.low[c]), std::abs(range.high[c]));
        if (nearest != row[c])
          check.number(row[c], nearest, relative * size + rounding.smallest(),
                       {b, h, i, static_cast<std::int64_t>(c)});
      }
    }
}

}  // namespace flashbench::oracle

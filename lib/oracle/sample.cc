#include "oracle/sample.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "core/work.h"
#include "oracle/bias_gradient.h"
#include "oracle/columns.h"
#include "oracle/definition.h"
#include "oracle/rows.h"

namespace flashbench::oracle {
namespace {

constexpr std::int64_t kRowsPerProblem = 64, kKeysPerProblem = 32;
/// Multiply-adds that may go into rows, and into keys, where that is more of them: single wrong
/// rows of a small problem are not left to chance. 50 ms of a core.
constexpr double kBudget = 4e8;
constexpr std::int64_t kTiles[] = {16, 32, 48, 64, 96, 128, 192, 256};

/// SplitMix64 (Steele, Lea, Flood 2014): enough to pick rows.
class Picker {
 public:
  explicit Picker(std::uint64_t seed) : state_(seed) {}
  /// In [0, n).
  std::int64_t operator()(std::int64_t n) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<std::int64_t>((z ^ (z >> 31)) % static_cast<std::uint64_t>(n));
  }

 private:
  std::uint64_t state_;
};

/// `count` of [0, rows), or all where that is half of them: the ends and `also`, then by turns a
/// row next to a tile boundary, a row near the start (where causal rows are short) and any row.
std::vector<std::int64_t> pick(std::int64_t rows, std::int64_t count,
                               const std::vector<std::int64_t>& also, Picker& random) {
  if (2 * count >= rows) {  // picking the last ones of many would take longest
    std::vector<std::int64_t> all(static_cast<std::size_t>(rows));
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  std::set<std::int64_t> picked;
  const auto take = [&](std::int64_t r) {
    if (r >= 0 && r < rows && static_cast<std::int64_t>(picked.size()) < count) picked.insert(r);
  };
  take(rows - 1);
  take(0);
  for (const std::int64_t r : also) take(r);
  while (static_cast<std::int64_t>(picked.size()) < count) {
    const std::int64_t tile = kTiles[random(std::size(kTiles))];
    take(tile * (1 + random(rows / tile + 1)) - random(2));
    take(random(std::int64_t{1} << random(20)));
    take(random(rows));
  }
  return {picked.begin(), picked.end()};
}

/// Of so many of a whole problem those of a head that has `rows` of the `all` rows of as many
/// heads.
std::int64_t per_head(std::int64_t of_problem, std::int64_t heads, std::int64_t rows,
                      std::int64_t all) {
  const double share = static_cast<double>(rows) / static_cast<double>(heads * all);
  constexpr std::int64_t kLeast = 3;  // the ends, and one between them
  return std::max<std::int64_t>(
      kLeast, static_cast<std::int64_t>(std::ceil(static_cast<double>(of_problem) * share)));
}

/// How many of `rows` of a head the budget pays for; `share`: of the budget, where `p` is a part of
/// a batch.
std::int64_t affordable(const Problem& p, std::int64_t rows, double share, double products) {
  const double work = expected_visible(p).pairs * pair_work(p, products);
  return static_cast<std::int64_t>(static_cast<double>(rows) *
                                   std::min(1.0, share * kBudget / std::max(work, 1.0)));
}

/// Of all rows that `all` counts.
double share(std::int64_t rows, std::int64_t all) {
  return static_cast<double>(rows) / static_cast<double>(all);
}

/// Of those that count.
std::int64_t longest_key(const Definition& def, std::int64_t b, std::int64_t h) {
  const TensorValues k = def.k();
  Doubles row(static_cast<std::size_t>(k.dims().d));
  std::int64_t longest = def.begin_of_all();
  double largest = -1;
  for (std::int64_t j = def.begin_of_all(); j < def.end_of_all(); ++j) {
    if (!def.kept(b, j)) continue;
    double sum = 0;
    k.load(b, h, j, row.data());
    for (const double x : row) sum += x * x;
    if (sum > largest) {
      largest = sum;
      longest = j;
    }
  }
  return longest;
}

}  // namespace

double pair_work(const Problem& p, double products) {
  constexpr double kExp = 100;
  constexpr double kBias = 100;  // read element by element; its gradient is kept, too
  const double bias = (p.bias == Bias::kNone ? 0 : kBias) + (p.needs_bias_gradient() ? kBias : 0);
  return products * static_cast<double>(p.shape.d + p.shape.d_v()) / 2 + kExp + bias;
}

std::int64_t sampled_rows(const Problem& p, const Shape& whole) {
  const Shape& s = p.shape;
  constexpr std::int64_t kRowsOfABias = 8;
  const std::int64_t paid = affordable(p, s.q_len, share(s.queries(), whole.queries()),
                                       row_products(p.needs_gradients()));
  const std::int64_t rows =
      std::max(paid, per_head(kRowsPerProblem, s.h, s.q_len, whole.queries()));
  return p.needs_bias_gradient() ? std::max(rows, kRowsOfABias) : rows;
}

std::int64_t sampled_keys(const Problem& p, const Shape& whole) {
  const Shape& s = p.shape;
  const std::int64_t paid = affordable(p, s.kv_len, share(s.keys(), whole.keys()), kColumnProducts);
  return 1 + std::max(paid, per_head(kKeysPerProblem, s.h_kv, s.kv_len, whole.keys()));
}

std::vector<HeadSample> sample_rows(const Problem& p, const Shape& whole) {
  const Shape& s = p.shape;
  std::vector<std::int64_t> also;
  const std::int64_t right = p.causal ? 0 : p.window_right.value_or(s.q_len);
  const std::int64_t first_seeing = s.q_len - s.kv_len - right;  // the first row that sees a key
  if (first_seeing > 0) also = {first_seeing - 1, first_seeing, first_seeing + 1};
  if (right == 0) also.push_back(1);
  const std::int64_t diagonal = s.kv_len - s.q_len;
  if (p.window_left)  // the last row that sees key 0, and the first that does not
    for (const std::int64_t more : {1, 0}) also.push_back(*p.window_left - diagonal + more);
  if (p.window_right)  // the last row that does not see the last key, and the first that does
    for (const std::int64_t less : {1, 2}) also.push_back(s.q_len - *p.window_right - less);
  const std::int64_t of_head = sampled_rows(p, whole);
  Picker random(p.seed);
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::int64_t>> of_bias;
  std::vector<HeadSample> sample;
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t h = 0; h < s.h; ++h) {
      if (!p.needs_bias_gradient()) {
        sample.push_back({b, h, pick(s.q_len, of_head, also, random)});
        continue;
      }
      const BiasSlice slice = BiasSlice::of(p.bias_dims(), b, h);
      std::vector<std::int64_t>& rows = of_bias[{slice.b, slice.h}];
      if (rows.empty()) rows = pick(s.q_len, of_head, also, random);
      sample.push_back({b, h, rows});
    }
  return sample;
}

std::vector<HeadSample> sample_keys(const Problem& p, const Inputs& in, const Shape& whole) {
  const Shape& s = p.shape;
  std::vector<HeadSample> sample;
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t h = 0; h < s.h_kv; ++h) sample.push_back({b, h, {}});
  const auto heads = static_cast<std::int64_t>(sample.size());
  const std::int64_t of_head = sampled_keys(p, whole);
  const Definition def(p, in);
  // What nobody sees is exactly 0, which is looked at elsewhere, all of it.
  const std::int64_t begin = def.begin_of_all(), count = def.end_of_all() - begin;
#pragma omp parallel for schedule(dynamic) if (worth_threads(s))
  for (std::int64_t n = 0; n < heads; ++n) {
    HeadSample& head = sample[static_cast<std::size_t>(n)];
    Picker random(p.seed + 0x6b657973 + static_cast<std::uint64_t>(n));
    head.rows = pick(count, of_head, {longest_key(def, head.b, head.h) - begin}, random);
    for (std::int64_t& j : head.rows) j += begin;
  }
  return sample;
}

}  // namespace flashbench::oracle

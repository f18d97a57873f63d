#include "oracle/rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "oracle/dense.h"
#include "oracle/noise.h"

namespace flashbench::oracle {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// A block of rows on its way through the definition. Matrices are row-major.
class RowBlock {
 public:
  RowBlock(const Definition& def, std::int64_t b, std::int64_t h,
           std::span<const std::int64_t> which)
      : def_(def),
        b_(b),
        h_(h),
        kv_head_(def.shape().kv_head(h)),
        which_(which),
        rows_(static_cast<std::int64_t>(which.size())),
        kv_len_(def.shape().kv_len),
        d_(def.shape().d),
        d_v_(def.shape().d_v()),
        scale_(def.scale()),
        rounding_(def.problem().dtype),
        kappa_(which.size(), 0.0) {
    r_.stats.resize(which.size());
    std::vector<std::uint8_t> seen;
    for (const std::int64_t i : which) seen.push_back(def.empty_row(b, i) ? 0 : 1);
    q_.gather(def.inputs().q, b, h, which, seen);
    q_.derive();
    if (!def.has_gradients()) return;
    do_.gather(def.inputs().d_o, b, h, which, seen);
    do_.derive();
  }

  RowResults run() {
    score();
    softmax();
    weigh_values();
    if (def_.has_gradients()) {
      score_gradient();
      weigh_keys();
    }
    return std::move(r_);
  }

 private:
  /// Calls step(first key, keys of the tile, which of them the padding mask keeps) for every tile
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
      for (const std::int64_t j : keys) keep.push_back(def_.kept(b_, j) ? 1 : 0);
      step(j0, keys, keep);
    }
  }
  bool some_row_sees(std::int64_t j) const {
    return std::any_of(which_.begin(), which_.end(),
                       [&](std::int64_t i) { return def_.visible(b_, i, j); });
  }

  Doubles matrix(std::int64_t columns) const {
    return Doubles(static_cast<std::size_t>(rows_ * columns), 0.0);
  }
  /// out[rows, :] += left[rows, keys of this tile]·right[keys of this tile, tile.d]
  void weigh(const Doubles& left, std::int64_t j0, const Panel& tile, const Doubles& right,
             Doubles& out) const {
    multiply_add(rows_, tile.d, tile.rows, left.data() + j0, kv_len_, right.data(), tile.d,
                 out.data(), tile.d);
  }

  void score();
  void modify(std::int64_t j0, std::int64_t keys, const double* sum_square);
  void softmax();
  void weigh_values();
  void score_gradient();
  void weigh_keys();

  const Definition& def_;
  std::int64_t b_, h_, kv_head_;
  std::span<const std::int64_t> which_;
  std::int64_t rows_, kv_len_, d_, d_v_;
  double scale_;
  Rounding rounding_;
  Panel q_, do_;
  Doubles p_;       // [rows, kv_len]: scores, then probabilities
  Doubles slope_;   // [rows, kv_len]: of what is done to scores; only with gradients
  Doubles random_;  // [rows, kv_len]: squared random errors of P, then of dS
  Doubles steady_;  // [rows, kv_len]: errors of P that add up, then of dS
  Doubles ds_;      // [rows, kv_len]: dP, then dS
  Doubles spread_;  // [rows, kv_len]: |dO||V|ᵀ
  Doubles kappa_;   // [rows]
  RowResults r_;
};

/// S = scale·QKᵀ, modified, and kappa from rss_c(q·k) of the visible pairs.
void RowBlock::score() {
  p_ = matrix(kv_len_);
  if (def_.has_gradients()) slope_ = matrix(kv_len_);
  Panel k;
  Doubles kt_square, sum_square;
  for_tiles([&](std::int64_t j0, const auto& keys, const auto& keep) {
    k.gather(def_.inputs().k, b_, kv_head_, keys, keep);
    k.transpose();
    multiply_add(rows_, k.rows, d_, q_.x.data(), d_, k.xt.data(), k.rows, p_.data() + j0, kv_len_);
    squares(k.xt, kt_square);
    sum_square = matrix(k.rows);
    multiply_add(rows_, k.rows, d_, q_.square.data(), d_, kt_square.data(), k.rows,
                 sum_square.data(), k.rows);
    modify(j0, k.rows, sum_square.data());
  });
}

/// Products q·k of a tile of keys to scores; `sum_square` [rows, keys]: of their terms. Pairs that
/// are hidden stay as they are.
void RowBlock::modify(std::int64_t j0, std::int64_t keys, const double* sum_square) {
  const double per_rss = std::abs(scale_) * std::sqrt(static_cast<double>(d_));
  for (std::int64_t n = 0; n < rows_; ++n) {
    const std::int64_t i = which_[static_cast<std::size_t>(n)];
    for (std::int64_t j = 0; j < keys; ++j) {
      if (!def_.visible(b_, i, j0 + j)) continue;
      const std::int64_t at = n * kv_len_ + j0 + j;
      const double raw = scale_ * p_.data()[at];
      const Score score = def_.score_with_slope(raw, h_, i, j0 + j);
      const double sum = per_rss * std::sqrt(sum_square[n * keys + j]);
      kappa_.data()[n] = std::max(kappa_.data()[n], score_noise(sum, score, raw));
      p_.data()[at] = score.value;
      if (!slope_.empty()) slope_.data()[at] = score.slope;
    }
  }
}

/// P and LSE of each row over its visible keys.
void RowBlock::softmax() {
  random_ = matrix(kv_len_);
  steady_ = matrix(kv_len_);
  for (std::int64_t n = 0; n < rows_; ++n) {
    const std::int64_t i = which_[static_cast<std::size_t>(n)];
    double* p = p_.data() + n * kv_len_;
    double* random = random_.data() + n * kv_len_;
    double* steady = steady_.data() + n * kv_len_;
    double max = -kInf;
    for (std::int64_t j = 0; j < kv_len_; ++j) {
      if (!def_.visible(b_, i, j)) p[j] = -kInf;
      max = std::max(max, p[j]);
    }
    RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
    stats.empty = max == -kInf;
    double sum = 0;
    for (std::int64_t j = 0; j < kv_len_; ++j) {
      p[j] = p[j] == -kInf ? 0.0 : std::exp(p[j] - max);
      sum += p[j];
    }
    const double kappa = kappa_.data()[n];
    stats.lse = stats.empty ? -kInf : max + std::log(sum);
    stats.v = softmax_noise(kappa, def_.row_length(i));
    for (std::int64_t j = 0; j < kv_len_; ++j) {
      if (!stats.empty) p[j] /= sum;
      const StoreError error = rounding_.of(p[j]);
      random[j] = error.random * error.random;
      steady[j] = stats.v * p[j] + error.lost;
    }
    r_.lse.push_back(stats.lse);
    r_.noise_lse.push_back(stats.empty ? 0.0 : 0x1p-23 * std::abs(stats.lse) + stats.v);
  }
}

/// O = P·V and its noise u|O| + rssⱼ(random(P)·V) + Σ(vP + lost(P))|V| + t; dP = dO·Vᵀ on the way.
void RowBlock::weigh_values() {
  r_.o = matrix(d_v_);
  Doubles rss = matrix(d_v_), spread = matrix(d_v_), vt_magnitude;
  if (def_.has_gradients()) {
    ds_ = matrix(kv_len_);
    spread_ = matrix(kv_len_);
  }
  Panel v;
  for_tiles([&](std::int64_t j0, const auto& keys, const auto& keep) {
    v.gather(def_.inputs().v, b_, kv_head_, keys, keep);
    v.derive();
    weigh(p_, j0, v, v.x, r_.o);
    weigh(random_, j0, v, v.square, rss);
    weigh(steady_, j0, v, v.magnitude, spread);
    if (!def_.has_gradients()) return;
    v.transpose();
    magnitudes(v.xt, vt_magnitude);
    multiply_add(rows_, v.rows, d_v_, do_.x.data(), d_v_, v.xt.data(), v.rows, ds_.data() + j0,
                 kv_len_);
    multiply_add(rows_, v.rows, d_v_, do_.magnitude.data(), d_v_, vt_magnitude.data(), v.rows,
                 spread_.data() + j0, kv_len_);
  });
  for (std::int64_t n = 0; n < rows_; ++n) {
    RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
    double largest = 0, delta_square = 0;
    for (std::int64_t c = n * d_v_; c < (n + 1) * d_v_; ++c) {
      const double noise = rounding_.u * std::abs(r_.o.data()[c]) + std::sqrt(rss.data()[c]) +
                           spread.data()[c] + rounding_.t;
      largest = std::max(largest, noise);
      if (!def_.has_gradients()) continue;
      stats.d += do_.x.data()[c] * r_.o.data()[c];
      delta_square += do_.square.data()[c] * noise * noise;
    }
    stats.delta = std::sqrt(delta_square);
    r_.noise_o.push_back(stats.empty ? 0.0 : largest);
  }
}

/// dS = P∘(dP - D)∘slope, a = rowsum(P∘(|dO||V|ᵀ)).
void RowBlock::score_gradient() {
  for (std::int64_t n = 0; n < rows_; ++n) {
    RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
    const double* p = p_.data() + n * kv_len_;
    const double* spread = spread_.data() + n * kv_len_;
    const double* slope = slope_.data() + n * kv_len_;
    double* ds = ds_.data() + n * kv_len_;
    for (std::int64_t j = 0; j < kv_len_; ++j) {
      stats.a += p[j] * spread[j];
      ds[j] = p[j] * (ds[j] - stats.d) * slope[j];
    }
  }
}

/// dQ = scale·dS·K and its noise
/// u|dQ| + |scale|(rssⱼ(random(dS)·K) + δ|ΣP∘slope·K| + Σ(vP(|dO||V|ᵀ + a) + lost(dS))|K|) + t.
void RowBlock::weigh_keys() {
  const double size = std::abs(scale_);
  for (std::int64_t n = 0; n < rows_; ++n) {
    const RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
    for (std::int64_t m = n * kv_len_; m < (n + 1) * kv_len_; ++m) {
      double& p = p_.data()[m];
      const double slope = slope_.data()[m];
      const StoreError error = rounding_.of_gradient(ds_.data()[m], p, scale_);
      random_.data()[m] = error.random * error.random;
      steady_.data()[m] =
          stats.v * p * (spread_.data()[m] + stats.a) * slope_noise(slope) + error.lost;
      p *= slope;  // all that P is needed for below
    }
  }
  r_.dq = matrix(d_);
  Doubles rss = matrix(d_), mean = matrix(d_), spread = matrix(d_);
  Panel k;
  for_tiles([&](std::int64_t j0, const auto& keys, const auto& keep) {
    k.gather(def_.inputs().k, b_, kv_head_, keys, keep);
    k.derive();
    weigh(ds_, j0, k, k.x, r_.dq);
    weigh(random_, j0, k, k.square, rss);
    weigh(p_, j0, k, k.x, mean);
    weigh(steady_, j0, k, k.magnitude, spread);
  });
  for (std::int64_t n = 0; n < rows_; ++n) {
    const RowStats& stats = r_.stats[static_cast<std::size_t>(n)];
    double largest = 0;
    for (std::int64_t c = n * d_; c < (n + 1) * d_; ++c) {
      double& dq = r_.dq.data()[c];
      dq *= scale_;
      const double sums =
          std::sqrt(rss.data()[c]) + stats.delta * std::abs(mean.data()[c]) + spread.data()[c];
      largest = std::max(largest, rounding_.u * std::abs(dq) + size * sums + rounding_.t);
    }
    r_.noise_dq.push_back(stats.empty ? 0.0 : largest);
  }
}

}  // namespace

RowResults compute_rows(const Definition& def, std::int64_t b, std::int64_t h,
                        std::span<const std::int64_t> which) {
  return RowBlock(def, b, h, which).run();
}

std::int64_t row_block(const Shape& shape) {
  return std::clamp<std::int64_t>((std::int64_t{1} << 19) / shape.kv_len, 1, 32);
}

}  // namespace flashbench::oracle

#include "oracle/directional.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "oracle/dense.h"
#include "oracle/dual.h"
#include "oracle/noise.h"
#include "system/interrupt.h"

namespace flashbench::oracle {
namespace {

constexpr std::int64_t kRows = 32;

/// Of dual numbers: along Q's direction, K's, the bias's, the sinks'.
enum Axis : std::size_t { kAlongQ, kAlongK, kAlongBias, kAlongSinks };

/// Rows of K (or its direction) transposed tile by tile: tiles of [d, keys of the tile].
struct TransposedTiles {
  std::int64_t tile;
  Doubles data;

  TransposedTiles(const double* x, std::int64_t rows, std::int64_t d)
      : tile(std::clamp<std::int64_t>(8192 / d / 24 * 24, 24, 192)) {
    data.resize(static_cast<std::size_t>(rows * d));
    for (std::int64_t j0 = 0; j0 < rows; j0 += tile) {
      const std::int64_t count = std::min(tile, rows - j0);
      double* to = data.data() + j0 * d;
      for (std::int64_t j = 0; j < count; ++j)
        for (std::int64_t c = 0; c < d; ++c) to[c * count + j] = x[(j0 + j) * d + c];
    }
  }

  /// out[m, rows] += left[m, d]·xᵀ
  void multiply(std::int64_t m, std::int64_t rows, std::int64_t d, const double* left,
                Doubles& out) const {
    for (std::int64_t j0 = 0; j0 < rows; j0 += tile) {
      const std::int64_t count = std::min(tile, rows - j0);
      multiply_add(m, count, d, left, d, data.data() + j0 * d, count, out.data() + j0, rows);
    }
  }
};

/// A block of rows of one query head.
class Block {
 public:
  Block(const Group& group, const TransposedTiles& k, const TransposedTiles& k_way,
        const Directions& way)
      : group_(group), k_(k), k_way_(k_way), way_(way) {
    const auto largest = [&](const double* x) {
      double size = 0;
      const std::int64_t count = group.shape().kv_len * group.shape().d_v();
      for (std::int64_t i = 0; i < count; ++i) size = std::max(size, std::abs(x[i]));
      return size;
    };
    largest_v_ = largest(group.v);
    largest_way_ = largest(way.v);
  }

  /// Rows [n, n + m) of the group; n counts through its query heads, all rows in one head.
  DirectionalDerivatives derivative(std::int64_t n, std::int64_t m) {
    const std::int64_t d = group_.shape().d, keys = group_.shape().kv_len;
    const std::int64_t q_len = group_.shape().q_len;
    const LiteralHead head = group_.head(n / q_len);
    for (Doubles* x : {&p_, &along_q_, &along_k_, &along_bias_, &along_sinks_})
      x->assign(static_cast<std::size_t>(m * keys), 0);
    k_.multiply(m, keys, d, group_.q + n * d, p_);
    k_.multiply(m, keys, d, way_.q + n * d, along_q_);
    k_way_.multiply(m, keys, d, group_.q + n * d, along_k_);
    rounding_.assign(static_cast<std::size_t>(m), {});
    Dual sink;
    if (group_.sinks != nullptr)
      sink = Dual(group_.sinks[n / q_len], kAlongSinks, way_.sinks[n / q_len]);
    for (std::int64_t r = 0; r < m; ++r)
      softmax(head, group_.sinks == nullptr ? nullptr : &sink, n + r, r);
    DirectionalDerivatives all;
    all.slope = {sum(slopes(n, m, along_q_, group_.v)), sum(slopes(n, m, along_k_, group_.v)),
                 sum(slopes(n, m, p_, way_.v)), sum(slopes(n, m, along_bias_, group_.v)),
                 sum(slopes(n, m, along_sinks_, group_.v))};
    const Doubles common = slopes(n, m, p_, group_.v);  // D
    all.noise = {sums_noise(n, m, along_q_, group_.v), sums_noise(n, m, along_k_, group_.v),
                 sums_noise(n, m, p_, way_.v), sums_noise(n, m, along_bias_, group_.v),
                 sums_noise(n, m, along_sinks_, group_.v)};
    for (std::size_t r = 0; r < common.size(); ++r) {
      all.noise.q += rounding_[r][kAlongQ] * square(common[r]);
      all.noise.k += rounding_[r][kAlongK] * square(common[r]);
      all.noise.bias += rounding_[r][kAlongBias] * square(common[r]);
    }
    return all;
  }

 private:
  /// Row n of the group, the r-th of the block: products q·k and their slopes become probabilities
  /// and theirs.
  void softmax(const LiteralHead& head, const Dual* sink, std::int64_t n, std::int64_t r) {
    const std::int64_t keys = head.shape().kv_len, at = r * keys, i = n % head.shape().q_len;
    double* p = p_.data() + at;
    double* along_q = along_q_.data() + at;
    double* along_k = along_k_.data() + at;
    double* along_bias = along_bias_.data() + at;
    double* along_sinks = along_sinks_.data() + at;
    row_.assign(static_cast<std::size_t>(keys), Dual());
    Dual max(-std::numeric_limits<double>::infinity());
    for (std::int64_t j = 0; j < keys; ++j) {
      if (!head.visible(i, j)) continue;
      Dual s(p[j], kAlongQ, along_q[j]);
      s.slope[kAlongK] = along_k[j];
      Dual& score = row_.data()[j];
      score = head.score_before_bias(s * Dual(head.scale()), i, j);
      if (group_.bias != nullptr)
        score += Dual(group_.bias[n * keys + j], kAlongBias, way_.bias[n * keys + j]);
      max = std::max(max, row_.data()[j]);
    }
    if (sink != nullptr) max = std::max(max, *sink);
    // Whatever slope is subtracted cancels; that of a sink would leave its share of P to what 1 - P
    // of all keys is off by.
    max.slope[kAlongSinks] = 0;
    Dual sum = sink == nullptr ? Dual() : exp(*sink - max);
    std::array<double, Dual::kDirections> sizes{}, squares{};  // of the terms of its slopes
    for (std::int64_t j = 0; j < keys; ++j) {
      if (!head.visible(i, j)) continue;
      row_.data()[j] = exp(row_.data()[j] - max);
      sum += row_.data()[j];
      for (const Axis axis : {kAlongQ, kAlongK, kAlongBias}) {
        sizes[axis] += std::abs(row_.data()[j].slope[axis]);
        squares[axis] += square(row_.data()[j].slope[axis]);
      }
    }
    for (const Axis axis : {kAlongQ, kAlongK, kAlongBias})
      if (sum.value > 0)
        rounding_[static_cast<std::size_t>(r)][axis] =
            sum_noise(keys, square(sizes[axis]), squares[axis]) / square(sum.value);
    for (std::int64_t j = 0; j < keys; ++j) {
      const Dual share = head.visible(i, j) ? row_.data()[j] / sum : Dual();
      p[j] = share.value;
      along_q[j] = share.slope[kAlongQ];
      along_k[j] = share.slope[kAlongK];
      along_bias[j] = share.slope[kAlongBias];
      along_sinks[j] = share.slope[kAlongSinks];
    }
  }

  /// Of each row Σ dO∘(weights·x): the part of the loss's slope that these weights of V's rows
  /// bring.
  Doubles slopes(std::int64_t n, std::int64_t m, const Doubles& weights, const double* x) {
    const std::int64_t d = group_.shape().d_v(), keys = group_.shape().kv_len;
    o_.assign(static_cast<std::size_t>(m * d), 0);
    multiply_add(m, d, keys, weights.data(), keys, x, d, o_.data(), d);
    Doubles rows(static_cast<std::size_t>(m), 0.0);
    for (std::int64_t i = 0; i < m * d; ++i)
      rows.data()[i / d] += group_.d_o[n * d + i] * o_.data()[i];
    return rows;
  }
  /// Expected square of the error of these rows' sum, from the sums over keys: products of weights
  /// and the largest x, of either sign.
  double sums_noise(std::int64_t n, std::int64_t m, const Doubles& weights, const double* x) const {
    const std::int64_t d = group_.shape().d_v(), keys = group_.shape().kv_len;
    const auto squares = [](const double* from, std::int64_t count) {
      return std::inner_product(from, from + count, from, 0.0);
    };
    const double largest = x == group_.v ? largest_v_ : largest_way_;
    double noise = 0;
    for (std::int64_t r = 0; r < m; ++r)
      noise += sum_noise(keys, 0, square(largest) * squares(weights.data() + r * keys, keys)) *
               squares(group_.d_o + (n + r) * d, d);
    return noise;
  }
  static double sum(const Doubles& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

  const Group& group_;
  const TransposedTiles &k_, &k_way_;
  Directions way_;
  double largest_v_ = 0, largest_way_ = 0;
  Doubles p_, along_q_, along_k_, along_bias_, along_sinks_, o_;
  std::vector<Dual> row_;
  std::vector<std::array<double, Dual::kDirections>>
      rounding_;  // of each row's Σ of slopes of P, in f32
};

}  // namespace

DirectionalDerivatives directional_derivatives(const Group& group, const Directions& way) {
  const Shape& s = group.shape();
  const TransposedTiles k_tiles(group.k, s.kv_len, s.d);
  const TransposedTiles k_way_tiles(way.k, s.kv_len, s.d);
  const std::int64_t blocks = (s.q_len + kRows - 1) / kRows;
  DirectionalDerivatives all;
#pragma omp parallel
  {
    Block block(group, k_tiles, k_way_tiles, way);
    DirectionalDerivatives own;
#pragma omp for schedule(dynamic)
    for (std::int64_t n = 0; n < group.heads() * blocks; ++n) {
      if (interrupted()) continue;
      const std::int64_t first = n % blocks * kRows;
      own += block.derivative(n / blocks * s.q_len + first, std::min(kRows, s.q_len - first));
    }
#pragma omp critical
    all += own;
  }
  stop_if_interrupted();
  return all;
}

}  // namespace flashbench::oracle

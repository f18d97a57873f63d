#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "core/problem.h"
#include "core/roundings.h"
#include "core/tensor.h"
#include "oracle/dual.h"
#include "oracle/tensor_values.h"

namespace flashbench::oracle {

/// Whether a problem is large enough to wake other threads for: more than about 0.1 ms of work.
inline bool worth_threads(const Shape& s) {
  return s.b * s.h * s.q_len * s.widest_d() > (std::int64_t{1} << 20) / s.kv_len;
}

/// A score, its derivative by the scaled product of query and key, and the size of the second one.
struct Score {
  double value = 0, slope = 0, bend = 0;
  double added = 0, added_square = 0;  ///< what does not come from the product: Σ of it and of its
                                       ///< terms' squares
};

/// A problem with its inputs, and the two things that every formula of attention takes as given,
/// each written out, so that they can judge core/visible.h and core/score_mod.h: which key is
/// visible to which query, and what becomes of a score before softmax.
/// Refers to the problem and the inputs; they must outlive it.
class Definition {
 public:
  Definition(const Problem& problem, const Inputs& inputs, ExtraRoundings rounds = {})
      : problem_(&problem), inputs_(&inputs), rounds_(rounds) {}

  const Problem& problem() const { return *problem_; }
  const Inputs& inputs() const { return *inputs_; }
  const Shape& shape() const { return problem_->shape; }
  double scale() const { return problem_->softmax_scale(); }
  /// What the kernel that is judged rounds besides.
  bool rounds(ExtraRounding r) const { return rounds_.has(r) && matters(r, *problem_); }
  bool has_gradients() const { return !inputs_->d_o.empty(); }
  /// K and V. What is stored in 8 bits counts times the descale of its head.
  TensorValues k() const { return {inputs_->k, inputs_->k_scale}; }
  TensorValues v() const { return {inputs_->v, inputs_->v_scale}; }
  bool has_descales() const { return !inputs_->k_scale.empty(); }
  /// How often f32 rounds what multiplies all products of a head, and its O: kernels take a descale
  /// into that factor, or each value times it.
  double factor_roundings() const { return has_descales() ? 2 : 1; }

  bool kept(std::int64_t b, std::int64_t j) const {
    return inputs_->key_mask.empty() ||
           inputs_->key_mask[static_cast<std::size_t>(b * shape().kv_len + j)] != 0;
  }
  /// The padding mask keeps key j, and with the query's own key, on which row i is aligned at the
  /// bottom right: where causal, j <= own; in a window, own - left <= j <= own + right. A bias of
  /// -inf hides the pair from query head h.
  bool visible(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    const Problem& p = *problem_;
    const std::int64_t own = own_key(i);
    return kept(b, j) && (!p.causal || j <= own) && (!p.window_left || own - *p.window_left <= j) &&
           (!p.window_right || j <= own + *p.window_right) &&
           (!has_bias() || bias(b, h, i, j) != -std::numeric_limits<double>::infinity());
  }
  /// The keys that may be visible to row i, [begin, end): padding may hide any.
  std::int64_t begin_of_row(std::int64_t i) const {
    const std::optional<std::int64_t> left = problem_->window_left;
    return left ? std::clamp<std::int64_t>(own_key(i) - *left, 0, shape().kv_len) : 0;
  }
  std::int64_t end_of_row(std::int64_t i) const {
    std::int64_t end = shape().kv_len;
    if (problem_->causal) end = std::min(end, own_key(i) + 1);
    if (problem_->window_right) end = std::min(end, own_key(i) + *problem_->window_right + 1);
    return std::max<std::int64_t>(end, 0);
  }
  /// The keys that may be visible to some row: from row to row the ends move on by one key.
  std::int64_t begin_of_all() const { return begin_of_row(0); }
  std::int64_t end_of_all() const { return end_of_row(shape().q_len - 1); }
  /// Key j is visible to some row, bias apart. What the others hold changes nothing, a NaN
  /// included.
  bool counts(std::int64_t b, std::int64_t j) const {
    return begin_of_all() <= j && j < end_of_all() && kept(b, j);
  }
  /// The logit of query head h that has a part in the denominator of softmax, exp(sink), and no
  /// value.
  bool has_sinks() const { return !inputs_->sinks.empty(); }
  std::optional<double> sink(std::int64_t h) const {
    if (!has_sinks()) return std::nullopt;
    return static_cast<double>(inputs_->sinks[static_cast<std::size_t>(h)]);
  }
  /// The LSE of a row that sees nothing.
  double lse_of_empty_row(std::int64_t h) const {
    return sink(h).value_or(-std::numeric_limits<double>::infinity());
  }
  /// The slope of ALiBi of query head h of batch element b; 0 where there is none.
  double alibi_slope(std::int64_t b, std::int64_t h) const {
    const std::vector<float>& slopes = inputs_->alibi_slopes;
    return slopes.empty()
               ? 0
               : static_cast<double>(slopes[static_cast<std::size_t>(b * shape().h + h)]);
  }
  /// What is added to the score of a pair. Of a pair that is not visible it may be anything.
  bool has_bias() const { return !inputs_->bias.empty(); }
  double bias(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    const Dims& dims = inputs_->bias.dims();
    return static_cast<double>(inputs_->bias.at(dims.b == 1 ? 0 : b, dims.h == 1 ? 0 : h, i, j));
  }
  bool wants_bias_gradient() const { return has_gradients() && problem_->needs_bias_gradient(); }
  /// The score of query i and key j of query head h; `s` is scale·q·k. T: double, or a number that
  /// carries derivatives. What else the oracle is told of a modification is of its noise: `bend`
  /// below, and slope_shift() of noise.h.
  template <typename T>
  T score_before_bias(T s, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    using std::tanh;
    const double cap = problem_->softcap;
    if (cap > 0) s = T(cap) * tanh(s / T(cap));
    if (problem_->alibi != Alibi::kNone) s = s - T(alibi_penalty(b, h, i, j));
    return s;
  }
  template <typename T>
  T score(T s, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    s = score_before_bias(s, b, h, i, j);
    if (has_bias()) s += T(bias(b, h, i, j));
    return s;
  }
  Score score_with_slope(double s, std::int64_t b, std::int64_t h, std::int64_t i,
                         std::int64_t j) const {
    const Dual moving = score(Dual(s, 0, 1), b, h, i, j);
    const double cap = problem_->softcap, slope = moving.slope[0];
    // Of tanh: -2·tanh·slope, and tanh² = 1 - slope.
    const double bend = cap > 0 ? 2 * std::sqrt(std::max(0.0, 1 - slope)) * slope / cap : 0;
    const double penalty = alibi_penalty(b, h, i, j), bias_of = has_bias() ? bias(b, h, i, j) : 0;
    return {moving.value, slope, bend, bias_of - penalty, bias_of * bias_of + penalty * penalty};
  }
  /// Of a row of Q whose hash that is: the same where its scaled products with K are.
  std::uint64_t query_hash(std::uint64_t of_row) const { return scale() == 0 ? 0 : of_row; }
  /// Slopes of scores vary.
  bool bends_scores() const { return problem_->softcap > 0; }
  /// The row of query head h sees no key.
  bool empty_row(std::int64_t b, std::int64_t h, std::int64_t i) const {
    for (std::int64_t j = begin_of_row(i); j < end_of_row(i); ++j)
      if (visible(b, h, i, j)) return false;
    return true;
  }

 private:
  double alibi_penalty(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    return alibi_slope(b, h) * static_cast<double>(std::abs(own_key(i) - j));
  }
  std::int64_t own_key(std::int64_t i) const { return i + shape().kv_len - shape().q_len; }

  const Problem* problem_;
  const Inputs* inputs_;
  ExtraRoundings rounds_;
};

}  // namespace flashbench::oracle

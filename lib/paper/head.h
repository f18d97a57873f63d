#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "core/score_mod.h"
#include "core/visible.h"
#include "kernel/profile.h"

namespace flashbench::paper {

/// One head of attention on row-major arrays: q [q_len, d]; k [kv_len, d]; v [kv_len, d_v];
/// o [q_len, d_v]; lse [q_len].
struct Head {
  std::int64_t q_len, kv_len, d, d_v;
  double scale;
  Visible mask;                            ///< which keys a row sees, padding apart
  const std::uint8_t* key_mask = nullptr;  ///< [kv_len], 1 = keep; null: all kept
  std::int64_t q_block = 64, kv_block = 64;
  ScoreMod modify = {};         ///< what becomes of scaled scores
  const float* bias = nullptr;  ///< [q_len, kv_len]: -inf hides a pair; null: none does

  /// The score of row i and key j; `raw` is scaled.
  template <class T>
  T score(const T& raw, std::int64_t i, std::int64_t j) const {
    return modify(raw, static_cast<std::int32_t>(i), static_cast<std::int32_t>(j));
  }
  bool visible(std::int64_t i, std::int64_t j) const { return keys(i).holds(j) && keeps(i, j); }
  /// Neither padding nor the bias hides key j from row i.
  bool keeps(std::int64_t i, std::int64_t j) const {
    return (key_mask == nullptr || key_mask[j] != 0) &&
           (bias == nullptr || bias[i * kv_len + j] != -std::numeric_limits<float>::infinity());
  }
  /// Row i sees some key of [begin, end).
  bool sees_any(std::int64_t i, std::int64_t begin, std::int64_t end) const {
    const KeyRange seen = keys(i);
    const auto first = std::max<std::int64_t>(begin, seen.begin);
    const auto last = std::min<std::int64_t>(end, seen.end);
    for (std::int64_t j = first; j < last; ++j)
      if (keeps(i, j)) return true;
    return false;
  }
  /// Some row of [q0, q1) does. The last one first: under most masks it sees the most.
  bool block_sees_any(std::int64_t q0, std::int64_t q1, std::int64_t begin,
                      std::int64_t end) const {
    for (std::int64_t i = q1 - 1; i >= q0; --i)
      if (sees_any(i, begin, end)) return true;
    return false;
  }
  KeyRange keys(std::int64_t i) const { return mask.keys(static_cast<std::int32_t>(i)); }
  std::int64_t q_tile() const { return std::min(q_block, q_len); }
  std::int64_t kv_tile() const { return std::min(kv_block, kv_len); }
  /// Elements in which a product is summed before it is added to what it belongs to.
  std::int64_t sum_elements() const { return std::max({d, d_v, kv_tile()}); }
};

/// The softmax of the rows of a head, [q_len] each: their maxima m and sums l, which forward()
/// writes and backward() computes P again from. Their LSE would do, were it exact: rounded to f32,
/// a large one moves P.
template <class T>
struct RowSoftmax {
  T* m;
  T* l;
};

/// A sink: one more logit of a head's softmax, without a value. Null: none, or not wanted.
template <class T>
struct Sink {
  const T* logit = nullptr;
  T* gradient = nullptr;  ///< what backward() adds to
};

/// What is added to the scores of a head, [q_len, kv_len]. Null: nothing, or not wanted.
template <class T>
struct Bias {
  const T* value = nullptr;
  T* gradient = nullptr;  ///< what backward() adds to
};

/// Pairs (query, key) that the algorithms compute: all keys of a block for every row that sees one
/// of them.
inline double executed_pairs(const Head& head) {
  double pairs = 0;
  for (std::int64_t begin = 0; begin < head.kv_len; begin += head.kv_block) {
    const std::int64_t end = std::min(begin + head.kv_block, head.kv_len);
    const std::int32_t from = head.mask.queries(static_cast<std::int32_t>(begin)).begin;
    const std::int32_t to = head.mask.queries(static_cast<std::int32_t>(end - 1)).end;
    std::int64_t rows = 0;
    for (std::int32_t i = from; i < to; ++i) rows += head.sees_any(i, begin, end) ? 1 : 0;
    pairs += static_cast<double>(rows) * static_cast<double>(end - begin);
  }
  return pairs;
}

/// A block of queries against a block of keys: [q0, q1) x [k0, k1).
struct Block {
  std::int64_t q0, q1, k0, k1;
  std::int64_t keys() const { return k1 - k0; }
};

/// FLOP of the matrix product and bytes (f32, every operand once) of each step on a block, for a
/// profile.
class BlockCost {
 public:
  BlockCost(const Head& head, const Block& block)
      : keys_(static_cast<double>(block.keys())),
        d_(static_cast<double>(head.d)),
        d_v_(static_cast<double>(head.d_v)) {
    for (std::int64_t i = block.q0; i < block.q1; ++i) {
      if (!head.sees_any(i, block.k0, block.k1)) continue;
      ++rows_;
      for (std::int64_t j = block.k0; j < block.k1; ++j) visible_ += head.visible(i, j) ? 1 : 0;
    }
  }

  /// K to its transpose.
  PhaseCost load() const { return floats(2 * keys_ * d_); }
  /// And V to its.
  PhaseCost load_both() const { return load() + floats(2 * keys_ * d_v_); }
  /// S = Q·Kᵀ of the rows that see a key, and what then becomes of S in place.
  PhaseCost scores() const { return product(d_); }
  /// S to P in place, O rescaled.
  PhaseCost softmax() const { return floats(2 * pairs() + 2 * rows_ * d_v_); }
  /// dS from P, dO, O and V.
  PhaseCost score_gradient() const { return product(d_v_) + floats(rows_ * d_v_ + pairs()); }
  /// O += P·V.
  PhaseCost values() const { return add_to_queries(d_v_); }
  /// dQ += dS·K.
  PhaseCost query_gradient() const { return add_to_queries(d_); }
  /// dV += Pᵀ·dO.
  PhaseCost value_gradient() const { return add_to_keys(d_v_); }
  /// dK += dSᵀ·Q.
  PhaseCost key_gradient() const { return add_to_keys(d_); }

 private:
  double pairs() const { return rows_ * keys_; }
  PhaseCost product(double d) const {
    return flop(pairs() * d) + floats(rows_ * d + keys_ * d + pairs());
  }
  PhaseCost add_to_queries(double d) const {
    return flop(visible_ * d) + floats(pairs() + keys_ * d + 2 * rows_ * d);
  }
  PhaseCost add_to_keys(double d) const {
    return flop(visible_ * d) + floats(pairs() + rows_ * d + 2 * keys_ * d);
  }
  static PhaseCost flop(double multiply_adds) { return {2 * multiply_adds, 0}; }
  static PhaseCost floats(double n) { return {0, static_cast<double>(sizeof(float)) * n}; }

  double keys_, d_, d_v_;
  double rows_ = 0, visible_ = 0;  ///< rows that see a key, pairs that see each other
};

/// Whose phases are timed; nobody's by default.
struct Phases {
  PhaseProfile* profile = nullptr;
  int thread = 0;

  PhaseTimer time(std::size_t phase, const Head& head, const Block& block,
                  PhaseCost (BlockCost::*cost)() const) const {
    if (profile == nullptr) return {nullptr, thread, phase};
    return {profile, thread, phase, (BlockCost(head, block).*cost)()};
  }
};

/// out[d, keys] = transpose of rows [k0, k1) of x[kv_len, d]: the block as a product Q·Kᵀ reads it
/// row by row.
template <class T>
void load_transposed(const T* x, std::int64_t d, const Block& block, T* out) {
  for (std::int64_t j = block.k0; j < block.k1; ++j)
    for (std::int64_t c = 0; c < d; ++c) out[c * block.keys() + j - block.k0] = x[j * d + c];
}

/// Terms of one f32 sum; longer ones are sums of such. In one chain, terms of one sign are off by
/// as much as they are many, and equal ones round alike while the exponent stays: 16k of them may
/// be off by 4096 units.
inline constexpr std::int64_t kLongestChain = 32;

/// Σ_n term(n), n < count.
template <class T, class Term>
T sum_of(std::int64_t count, Term term) {
  T total = T(0);
  for (std::int64_t n0 = 0; n0 < count; n0 += kLongestChain) {
    T part = T(0);
    for (std::int64_t n = n0; n < std::min(n0 + kLongestChain, count); ++n) part += term(n);
    total += part;
  }
  return total;
}

/// out[n] += Σ_r weight(r)·x[r, n], r in [begin, end); weight(r) is null where row r has no part in
/// it and may hold anything. `sum`: n elements.
template <class T, class Weight>
void add_weighted_rows(std::int64_t begin, std::int64_t end, std::int64_t n, Weight weight,
                       const T* x, T* sum, T* out) {
  for (std::int64_t r0 = begin; r0 < end; r0 += kLongestChain) {
    std::fill(sum, sum + n, T(0));
    for (std::int64_t r = r0; r < std::min(r0 + kLongestChain, end); ++r) {
      const T* const at = weight(r);
      if (at == nullptr) continue;
      const T w = *at;
      for (std::int64_t c = 0; c < n; ++c) sum[c] += w * x[r * n + c];
    }
    for (std::int64_t c = 0; c < n; ++c) out[c] += sum[c];
  }
}

/// out[rows, keys] = left[rows of the block, d]·right_t[d, keys] for rows that see a key of it.
/// `sum`: keys elements.
template <class T>
void multiply_block(const Head& head, const Block& block, std::int64_t d, const T* left,
                    const T* right_t, T* sum, T* out) {
  const std::int64_t keys = block.keys();
  for (std::int64_t i = block.q0; i < block.q1; ++i) {
    if (!head.sees_any(i, block.k0, block.k1)) continue;
    T* row = out + (i - block.q0) * keys;
    std::fill(row, row + keys, T(0));
    add_weighted_rows(
        0, d, keys, [&](std::int64_t c) { return left + i * d + c; }, right_t, sum, row);
  }
}

/// The weight of row i and key j in a tile [rows, keys] of the block; null where i does not see j.
template <class T>
const T* visible_weight(const Head& head, const Block& block, const T* weights, std::int64_t i,
                        std::int64_t j) {
  return head.visible(i, j) ? weights + (i - block.q0) * block.keys() + j - block.k0 : nullptr;
}

/// out[rows of the block, d] += weights·x[keys of the block, d].
template <class T>
void add_to_queries(const Head& head, const Block& block, std::int64_t d, const T* weights,
                    const T* x, T* sum, T* out) {
  for (std::int64_t i = block.q0; i < block.q1; ++i)
    add_weighted_rows(
        block.k0, block.k1, d,
        [&](std::int64_t j) { return visible_weight(head, block, weights, i, j); }, x, sum,
        out + i * d);
}

}  // namespace flashbench::paper

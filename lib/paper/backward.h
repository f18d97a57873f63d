#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "paper/head.h"
#include "system/interrupt.h"

namespace flashbench::paper {

/// FlashAttention (Dao et al. 2022), Algorithm 4 without dropout: K/V blocks outside, Q blocks
/// inside; P is recomputed from m and l,
/// D = rowsum(dO∘O), dV += PᵀdO, dS = P∘(dO·Vᵀ - D), dQ += scale·dS·K, dK += scale·dSᵀ·Q.
enum BackwardPhase : std::size_t {
  kLoadKV,
  kProbabilities,
  kValueGradient,
  kScoreGradient,
  kQueryGradient,
  kKeyGradient,
  kBackwardPhases
};
inline constexpr const char* kBackwardPhaseNames[] = {"load K, V block", "P = exp(S - LSE)",
                                                      "dV += P^T dO",    "dS = P(dP - D)",
                                                      "dQ += dS K",      "dK += dS^T Q"};

/// Elements of T that backward() works in.
inline std::int64_t backward_workspace(const Head& head) {
  const std::int64_t tiles = head.modify.is_identity() ? 2 : 3;
  return (tiles * head.q_tile() + head.d + head.d_v) * head.kv_tile() + head.sum_elements();
}

namespace backward_detail {

/// tile <- P = exp(S - m) / l, 0 where masked; S is scale·tile, modified, and the bias. `slope`, if
/// wanted, gets the modification's derivatives.
template <class T>
void probabilities(const Head& head, const Block& block, const T* bias, RowSoftmax<T> rows, T* tile,
                   T* slope) {
  using std::exp;
  for (std::int64_t i = block.q0; i < block.q1; ++i) {
    T* row = tile + (i - block.q0) * block.keys();
    for (std::int64_t j = block.k0; j < block.k1; ++j) {
      T& p = row[j - block.k0];
      const T raw = T(head.scale) * p;
      T s = head.score(raw, i, j);
      if (bias != nullptr) s += bias[i * head.kv_len + j];
      p = head.visible(i, j) ? T(exp(s - rows.m[i]) / rows.l[i]) : T(0);
      if (slope != nullptr) slope[&p - tile] = head.modify.gradient(raw);
    }
  }
}

/// What a number is computed in that is the same for a whole row.
template <class T>
using OfRow = std::conditional_t<std::is_same_v<T, float>, double, T>;

/// D of row i: rowsum(dO∘O). Rounded to f32, it alone would be most of what is off in dQ where the
/// rows of K have one sign.
template <class T>
OfRow<T> row_d(const Head& head, const T* o, const T* d_o, std::int64_t i) {
  using Wide = OfRow<T>;
  return sum_of<Wide>(head.d_v, [&](std::int64_t c) {
    return Wide(Wide(d_o[i * head.d_v + c]) * Wide(o[i * head.d_v + c]));
  });
}

/// dp <- scale·dS = scale·P∘(dP - D), 0 where masked; times `slope`, if any. `dbias`, if wanted,
/// gets dS itself.
template <class T>
void score_gradient(const Head& head, const Block& block, const T* p, const T* o, const T* d_o,
                    const T* slope, T* dbias, T* dp) {
  for (std::int64_t i = block.q0; i < block.q1; ++i) {
    const OfRow<T> d = row_d(head, o, d_o, i);
    for (std::int64_t j = block.k0; j < block.k1; ++j) {
      const std::int64_t at = (i - block.q0) * block.keys() + j - block.k0;
      const T ds = head.visible(i, j) ? T(p[at] * T(OfRow<T>(dp[at]) - d)) : T(0);
      if (dbias != nullptr) dbias[i * head.kv_len + j] += ds;
      dp[at] = T(head.scale) * ds;
      if (slope != nullptr) dp[at] *= slope[at];
    }
  }
}

/// out[keys of the block, d] += weightsᵀ·x[rows of the block, d].
template <class T>
void add_to_keys(const Head& head, const Block& block, std::int64_t d, const T* weights, const T* x,
                 T* sum, T* out) {
  for (std::int64_t j = block.k0; j < block.k1; ++j)
    add_weighted_rows(
        block.q0, block.q1, d,
        [&](std::int64_t i) { return visible_weight(head, block, weights, i, j); }, x, sum,
        out + j * d);
}

/// As of a key whose value is 0, so that its dP is: the sum of -P·D over the rows.
template <class T>
T sink_gradient(const Head& head, const T& sink, const T* o, RowSoftmax<T> rows, const T* d_o) {
  using std::exp;
  return sum_of<T>(head.q_len, [&](std::int64_t i) {
    return T(-exp(sink - rows.m[i]) / rows.l[i] * T(row_d(head, o, d_o, i)));
  });
}

}  // namespace backward_detail

/// Writes dq [q_len, d] and adds to dk [kv_len, d], dv [kv_len, d_v] (several query heads may share
/// them). o and `rows` are what forward() wrote. `workspace`: backward_workspace(head) elements.
/// `sink`, `bias`: as forward() had them.
template <class T>
void backward(const Head& head, const T* q, const T* k, const T* v, const T* o, RowSoftmax<T> rows,
              const T* d_o, T* dq, T* dk, T* dv, T* workspace, Phases phases = {},
              Sink<T> sink = {}, Bias<T> bias = {}) {
  namespace detail = backward_detail;
  T* const p = workspace;
  T* const ds = p + head.q_tile() * head.kv_tile();
  T* const k_t = ds + head.q_tile() * head.kv_tile();
  T* const v_t = k_t + head.d * head.kv_tile();
  T* const sum = v_t + head.d_v * head.kv_tile();
  T* const slope = head.modify.is_identity() ? nullptr : sum + head.sum_elements();
  std::fill(dq, dq + head.q_len * head.d, T(0));

  for (std::int64_t k0 = 0; k0 < head.kv_len; k0 += head.kv_block) {
    Block block{0, 0, k0, std::min(k0 + head.kv_block, head.kv_len)};
    const auto timed = [&](BackwardPhase phase, auto cost, auto work) {
      const auto timer = phases.time(phase, head, block, cost);
      work();
    };
    timed(kLoadKV, &BlockCost::load_both, [&] {
      load_transposed(k, head.d, block, k_t);
      load_transposed(v, head.d_v, block, v_t);
    });
    for (block.q0 = 0; block.q0 < head.q_len; block.q0 += head.q_block) {
      if (interrupted()) return;
      block.q1 = std::min(block.q0 + head.q_block, head.q_len);
      if (!head.block_sees_any(block.q0, block.q1, block.k0, block.k1)) continue;
      timed(kProbabilities, &BlockCost::scores, [&] {
        multiply_block(head, block, head.d, q, k_t, sum, p);
        detail::probabilities(head, block, bias.value, rows, p, slope);
      });
      timed(kValueGradient, &BlockCost::value_gradient,
            [&] { detail::add_to_keys(head, block, head.d_v, p, d_o, sum, dv); });
      timed(kScoreGradient, &BlockCost::score_gradient, [&] {
        multiply_block(head, block, head.d_v, d_o, v_t, sum, ds);
        detail::score_gradient(head, block, p, o, d_o, slope, bias.gradient, ds);
      });
      timed(kQueryGradient, &BlockCost::query_gradient,
            [&] { add_to_queries(head, block, head.d, ds, k, sum, dq); });
      timed(kKeyGradient, &BlockCost::key_gradient,
            [&] { detail::add_to_keys(head, block, head.d, ds, q, sum, dk); });
    }
  }
  if (sink.gradient != nullptr)
    *sink.gradient += detail::sink_gradient(head, *sink.logit, o, rows, d_o);
}

}  // namespace flashbench::paper

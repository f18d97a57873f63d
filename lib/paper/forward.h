#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/passive.h"
#include "paper/head.h"
#include "system/interrupt.h"

namespace flashbench::paper {

/// FlashAttention (Dao et al. 2022), Algorithm 1, masked as its Algorithm 2, without dropout:
/// K/V blocks outside, Q blocks inside, a running row maximum m and row sum l, O renormalised at
/// every step. T: float, double, or a type of automatic differentiation.
///
/// A row that sees no key of a block is left alone, so that exp(-inf - (-inf)) never happens; one
/// that sees no key at all ends as o = 0, lse = -inf, or the sink.
enum ForwardPhase : std::size_t { kLoadK, kScores, kSoftmax, kValues, kForwardPhases };
inline constexpr const char* kForwardPhaseNames[] = {"load K block", "S = QK^T", "softmax",
                                                     "O += PV"};

/// Elements of T that forward() works in.
inline std::int64_t forward_workspace(const Head& head) {
  return (head.q_tile() + head.d) * head.kv_tile() + head.sum_elements();
}

namespace forward_detail {

/// The score tile; the K block transposed; one row of a product.
template <class T>
struct Workspace {
  T *tile, *k_t, *sum;
  Workspace(const Head& head, T* memory)
      : tile(memory),
        k_t(tile + head.q_tile() * head.kv_tile()),
        sum(k_t + head.d * head.kv_tile()) {}
};

/// Turns a tile of products into the weights of V for this step, and rescales what O holds:
/// m_new = max(m, m~), l_new = exp(m - m_new)·l + exp(m~ - m_new)·l~,
/// O <- (l·exp(m - m_new)·O + exp(m~ - m_new)·P~·V) / l_new. (Algorithm 1, lines 10 to 13)
template <class T>
void absorb(const Head& head, const Block& block, const T* bias, const Workspace<T>& w,
            RowSoftmax<T> rows, T* o) {
  using std::exp;
  const std::int64_t keys = block.keys();
  for (std::int64_t i = block.q0; i < block.q1; ++i) {
    if (!head.sees_any(i, block.k0, block.k1)) continue;
    T* row = w.tile + (i - block.q0) * keys;
    T tile_max = T(-std::numeric_limits<double>::infinity());
    for (std::int64_t j = 0; j < keys; ++j) {
      row[j] *= T(head.scale);
      if (!head.modify.is_identity()) row[j] = head.score(row[j], i, block.k0 + j);
      if (bias != nullptr) row[j] += bias[i * head.kv_len + block.k0 + j];
      if (head.visible(i, block.k0 + j)) tile_max = std::max(tile_max, row[j]);
    }
    tile_max = Passive<T>::of(tile_max);
    for (std::int64_t j = 0; j < keys; ++j)
      row[j] = head.visible(i, block.k0 + j) ? T(exp(row[j] - tile_max)) : T(0);
    const T tile_sum = sum_of<T>(keys, [&](std::int64_t j) { return row[j]; });
    const T new_max = std::max(rows.m[i], tile_max);
    const T old_part = rows.l[i] * exp(rows.m[i] - new_max);
    const T new_part = exp(tile_max - new_max);
    const T new_sum = old_part + new_part * tile_sum;
    const T old_share = old_part / new_sum;
    const T new_share = new_part / new_sum;
    for (std::int64_t c = 0; c < head.d_v; ++c) o[i * head.d_v + c] *= old_share;
    for (std::int64_t j = 0; j < keys; ++j) row[j] *= new_share;
    rows.m[i] = new_max;
    rows.l[i] = new_sum;
  }
}

}  // namespace forward_detail

/// Writes o [q_len, d_v] and lse [q_len] (natural log of the sum of exp of the scaled, masked
/// scores), and the softmax of the rows. `workspace`: forward_workspace(head) elements, contents
/// irrelevant. `sink`: null, or a logit, which is the first maximum and sum of every row. `bias`:
/// null, or [q_len, kv_len]; where it hides pairs the head knows, too.
template <class T>
void forward(const Head& head, const T* q, const T* k, const T* v, T* o, T* lse, RowSoftmax<T> rows,
             T* workspace, Phases phases = {}, const T* sink = nullptr, const T* bias = nullptr) {
  using std::exp;
  using std::log;
  const T minus_inf = T(-std::numeric_limits<double>::infinity());
  const forward_detail::Workspace<T> w(head, workspace);
  std::fill(o, o + head.q_len * head.d_v, T(0));
  const T first_max = sink == nullptr ? minus_inf : Passive<T>::of(*sink);
  std::fill(rows.m, rows.m + head.q_len, first_max);
  std::fill(rows.l, rows.l + head.q_len, sink == nullptr ? T(0) : T(exp(*sink - first_max)));

  for (std::int64_t k0 = 0; k0 < head.kv_len; k0 += head.kv_block) {
    Block block{0, 0, k0, std::min(k0 + head.kv_block, head.kv_len)};
    {
      const auto timer = phases.time(kLoadK, head, block, &BlockCost::load);
      load_transposed(k, head.d, block, w.k_t);
    }
    for (block.q0 = 0; block.q0 < head.q_len; block.q0 += head.q_block) {
      if (interrupted()) return;
      block.q1 = std::min(block.q0 + head.q_block, head.q_len);
      if (!head.block_sees_any(block.q0, block.q1, block.k0, block.k1)) continue;
      {
        const auto timer = phases.time(kScores, head, block, &BlockCost::scores);
        multiply_block(head, block, head.d, q, w.k_t, w.sum, w.tile);
      }
      {
        const auto timer = phases.time(kSoftmax, head, block, &BlockCost::softmax);
        forward_detail::absorb(head, block, bias, w, rows, o);
      }
      const auto timer = phases.time(kValues, head, block, &BlockCost::values);
      add_to_queries(head, block, head.d_v, w.tile, v, w.sum, o);
    }
  }
  for (std::int64_t i = 0; i < head.q_len; ++i)
    lse[i] = sink != nullptr || head.sees_any(i, 0, head.kv_len) ? T(rows.m[i] + log(rows.l[i]))
                                                                 : minus_inf;
}

}  // namespace flashbench::paper

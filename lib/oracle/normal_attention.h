#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/passive.h"
#include "oracle/literal_head.h"

namespace flashbench::oracle {

/// Row i of normal attention by the definition: all its scores, softmax, the weighted mean of V.
/// A template so that automatic differentiation and dual numbers can run through it.
/// q_row: [d]; o_row: [d_v]; k: [kv_len, d]; v: [kv_len, d_v]; p: [kv_len] to work in; sink: its
/// logit, or null; bias_row: [kv_len], or null. An empty row gives o_row = 0.
template <class T>
void normal_row(const LiteralHead& head, std::int64_t i, const T* q_row, const T* k, const T* v,
                const T* sink, const T* bias_row, T* o_row, T* p) {
  using std::exp;
  const std::int64_t kv_len = head.shape().kv_len, d = head.shape().d;
  const std::int64_t d_v = head.shape().d_v();
  for (std::int64_t c = 0; c < d_v; ++c) o_row[c] = T(0);
  if (head.empty_row(i)) return;
  T max = T(-std::numeric_limits<double>::infinity());
  for (std::int64_t j = 0; j < kv_len; ++j) {
    if (!head.visible(i, j)) continue;
    p[j] = T(0);
    for (std::int64_t c = 0; c < d; ++c) p[j] += q_row[c] * k[j * d + c];
    p[j] *= T(head.scale());
    p[j] = head.score_before_bias(p[j], i, j);
    if (bias_row != nullptr) p[j] += bias_row[j];
    max = std::max(max, p[j]);
  }
  if (sink != nullptr) max = std::max(max, *sink);
  max = Passive<T>::of(max);
  T sum = sink == nullptr ? T(0) : T(exp(*sink - max));
  for (std::int64_t j = 0; j < kv_len; ++j) {
    if (!head.visible(i, j)) continue;
    p[j] = T(exp(p[j] - max));
    sum += p[j];
  }
  for (std::int64_t j = 0; j < kv_len; ++j) {
    if (!head.visible(i, j)) continue;
    const T share = p[j] / sum;
    for (std::int64_t c = 0; c < d_v; ++c) o_row[c] += share * v[j * d_v + c];
  }
}

}  // namespace flashbench::oracle

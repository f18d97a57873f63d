#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/tile_ops.h"

// The online softmax of FlashAttention-2 (Algorithm 1, lines 9 and 10).
namespace flashbench::cpu {

/// Running state of one row of queries: the largest product q·k and the sum of
/// 2^(factor·(product - max)) so far.
struct OnlineRow {
  float& max;
  float factor;
  float* sum;  ///< [lanes]: adds up to the sum
  int lanes;
  float* o;  ///< [d], not yet normalised
  ScoreRow score = {};
};

/// Absorbs the products s[0, keys), as they are or as `score` changes them, of which the row sees
/// [begin, end): updates max and sum, turns s into P, rescales O if max moved. Hidden keys get P =
/// 0, whatever their scores (NaN included), and so do all while none was seen but with a bias of
/// -inf: max stays -inf, sum 0.
inline void absorb_row(const TileOps& ops, OnlineRow row, std::int64_t d, float* s,
                       std::int64_t keys, std::int64_t begin, std::int64_t end) {
  std::fill(s, s + begin, 0.0f);
  std::fill(s + end, s + keys, 0.0f);
  if (begin == end) return;
  s += begin;
  const std::int64_t visible = end - begin;
  if (row.score.changes()) ops.row_score(s, visible, row.score.at(0, begin), nullptr);
  const float old_max = row.max;
  const float new_max = std::max(old_max, ops.row_max(s, visible));
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const float sum = ops.row_exp2(s, visible, new_max == kNone ? 0.0f : new_max, row.factor);
  if (new_max != old_max) {
    const float rescale = old_max == kNone ? 0.0f : std::exp2((old_max - new_max) * row.factor);
    ops.row_scale(row.sum, row.lanes, rescale);
    row.max = new_max;
    ops.row_scale(row.o, d, rescale);
  }
  row.sum[0] += sum;
}

}  // namespace flashbench::cpu

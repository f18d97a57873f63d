#pragma once

#include <cstdint>

#include "core/visible.h"

// What a CUDA kernel is told: read by nvcc and by the host's compiler, so nothing but plain data.
namespace flashbench::cuda {

/// An address in device memory, as the host handles it.
using Address = std::uint64_t;

/// Element types of the tensors in device memory; sums are always f32.
enum class Element : std::int32_t { kF32, kBf16, kF16 };

/// A [batch, head, row, dim] tensor in device memory; strides in elements. Every row starts at a
/// multiple of 16 bytes: the host rounds stride_row up from d. Columns d .. stride_row are zero in
/// what a kernel reads; of what it writes they belong to nobody, but O's must become zero.
struct Rows {
  void* data;
  std::int64_t stride_b, stride_h, stride_row;
};

/// What a kernel was compiled for: kPlain has no instruction for what few problems ask for.
enum class Variant { kPlain, kGeneral };

/// What softmax takes in the place of q.k, so that a score is scale_log2 / log2(e) times it.
/// Nothing is changed: q.k itself, and scale_log2 = scale·log2(e). Under a soft cap: tanh(cap·q.k),
/// and scale_log2 = softcap·log2(e). With ALiBi: outer·(one of these) - slope·distance, the score
/// itself, and scale_log2 = log2(e). Row maxima are of what is taken.
struct ScoreChange {
  std::int32_t capped;        ///< there is a soft cap
  float cap;                  ///< scale / softcap, or 1 where the product has it already
  float outer;                ///< the scale, or under a soft cap that; likewise
  const float* alibi_slopes;  ///< [b, h], or null
};

inline constexpr int kSinkThreads = 256;  ///< of the block that adds up the gradient of a sink

/// One attention problem: the only argument of every kernel, passed by value.
///
/// Padding: `kept` names the keys that count, so that padded ones, and those that no query sees,
/// are never loaded. A tile is a run of *kept* keys; kept key i of batch b lies in row kept[b][i]
/// of K and V. Query q sees the run keys(b, q) of them. Without padding both tables are null, kept
/// key i is row i, and K, V and kv_len are of the keys that some query sees, which are neighbours.
///
/// Rows that see nothing: O = 0, LSE = -inf or the sink, dQ = 0. Rows of dK and dV whose key is not
/// kept are zeroed by the host before the launch; no kernel touches them.
struct Attention {
  Rows q, k, v;  ///< read: [b, h, q_len, d], [b, h_kv, kv_len, d] twice
  Rows o;        ///< forward writes it, backward reads it
  float* lse;    ///< [b, h, q_len], natural log of the sum of exp of the scores
  // [b, h, q_len] each, from the forward to the backward, or null where none follows: the score
  // q.k that the forward subtracts from a row's, and log2 of the sum of exp2 of the differences
  // times scale_log2; 0 and +inf where a row sees nothing. P is exp2((q.k - max)·scale_log2 -
  // log2_sum): a score that the backward computes again cancels against the same bits. LSE, one
  // number for both, is rounded to 2^-24 of itself: where scores are 1e8, the difference is noise.
  float* row_max;
  float* row_log2_sum;
  Rows d_o;         ///< read by the backward
  Rows dq, dk, dv;  ///< written by the backward
  float* delta;     ///< [b, h, q_len]: rowsum(dO o O), written and read by the backward
  // K and V with their kept rows at the front and zeros behind, where a kernel moves boxes of rows;
  // null without a padding mask.
  Rows packed_k, packed_v;
  // What normal attention materialises: f32 rows [b, h, q_len] of scores_stride floats, a multiple
  // of 4. P and dS replace S and dP in the tensors' element type, from the start of the same row.
  float* scores;           ///< S, then P
  float* score_gradients;  ///< dP, then dS
  std::int64_t scores_stride;
  void* workspace;                  ///< KernelFamily::workspace_bytes of it, or null
  const std::uint8_t* key_mask;     ///< [b, key_mask_stride], 1: kept; null without a padding mask
  std::int64_t key_mask_stride;     ///< a multiple of 4
  const std::int32_t* kept;         ///< [b, kv_len], or null
  const std::int32_t* kept_before;  ///< [b, kv_len + 1]: kept keys among [0, k), or null
  std::int32_t b, h, h_kv, group;   ///< group = h / h_kv: query head i uses K/V head i / group
  std::int32_t q_len, kv_len, d;
  Visible mask;  ///< which keys a query sees, padding apart
  Element element;
  float scale;  ///< of the scores
  float
      scale_log2;  ///< scale * log2(e), or what ScoreChange says; 1 where a product has it already
  // What not every problem has; new fields go here, so that the others stay where they are.
  ScoreChange change;
  float product_factor;  ///< of the product that makes the scores of normal attention
  std::int32_t d_v;      ///< what d is to Q and K, to V, O and their gradients
  const float* sinks;    ///< [h], natural logits, or null. LSE and row_log2_sum are with the sink
  float* dsinks;         ///< [h], written by the backward
  float* score_slopes;  ///< normal attention under a soft cap: the slopes of scores, laid out alike
};

/// How many keys of batch element `b` are kept.
FB_HD inline std::int32_t kept_count(const Attention& a, std::int32_t b) {
  return a.kept_before == nullptr
             ? a.kv_len
             : a.kept_before[static_cast<std::int64_t>(b) * (a.kv_len + 1) + a.kv_len];
}

/// How many of keys [0, key) are kept: the number of that key where it is.
FB_HD inline std::int32_t kept_before(const Attention& a, std::int32_t b, std::int32_t key) {
  return a.kept_before == nullptr
             ? key
             : a.kept_before[static_cast<std::int64_t>(b) * (a.kv_len + 1) + key];
}

/// The kept keys, by their numbers, that query `q` of batch element `b` sees. q may lie beyond
/// q_len. Neither end falls as q rises.
FB_HD inline KeyRange keys(const Attention& a, std::int32_t b, std::int32_t q) {
  const KeyRange range = a.mask.keys(q);
  return {kept_before(a, b, range.begin), kept_before(a, b, range.end)};
}

/// Rows may begin after key 0: tiles may need a mask at their left.
FB_HD inline bool rows_begin_later(const Attention& a) {
  return a.mask.behind != Visible::kNoLimit;
}

/// The row of K and V where kept key `i` of batch element `b` lies; i < kept_count.
FB_HD inline std::int32_t key_row(const Attention& a, std::int32_t b, std::int32_t i) {
  return a.kept == nullptr ? i : a.kept[static_cast<std::int64_t>(b) * a.kv_len + i];
}

/// The queries that see kept key `i`.
FB_HD inline KeyRange queries(const Attention& a, std::int32_t b, std::int32_t i) {
  return a.mask.queries(key_row(a, b, i));
}

}  // namespace flashbench::cuda

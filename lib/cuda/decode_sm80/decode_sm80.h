#pragma once

#include "cuda/contract/family.h"
#include "cuda/decode_sm80/decode_sm80_layout.h"

// decode_sm80: the forward pass of few queries, bf16 and f16, on the tensor cores of compute
// capability 8.0 and later. See decode_sm80_*.cuh for the algorithm, decode_sm80_layout.h for the
// sizes.
namespace flashbench::cuda::decode_sm80 {

/// With the fewest warps; a launch has as many as the device has shared memory for.
constexpr std::size_t needed_shared_bytes(Pass, std::int64_t d) {
  return least_shared_bytes(padded_head_dim(static_cast<int>(d)));
}

/// Fewer keys are not worth a merge of their sums.
inline constexpr std::int64_t kFewestKeysToSplit = 512;
/// Queries of a head that one CTA of the other forward kernels takes, most of them.
inline constexpr std::int64_t kRowsOfOthers = 128;

/// Whether shares of all keys are expected to end before the other forward kernels, of which a CTA
/// has all keys of a block of one head's queries: of few heads most multiprocessors have none, of
/// groups with few queries each most rows of a CTA are empty. A share's block of rows is taken for
/// as long a key as one of theirs, and half of the time is asked for. Up to 16 rows it is known.
constexpr bool pays(const QueryRows& q, std::int64_t d, int multiprocessors) {
  if (q.rows() <= kRows) return true;
  if (q.kv_len < kFewestKeysToSplit) return false;
  const std::int64_t on = multiprocessors < 1 ? 1 : multiprocessors;
  const std::int64_t own =
      q.kv_heads * blocks_of(tile_of(padded_head_dim(static_cast<int>(d)), q.rows()), q.rows());
  const std::int64_t waves_of_others =
      ceil_div(q.kv_heads * q.group * ceil_div(q.q_len, kRowsOfOthers), on);
  return 2 * own <= waves_of_others * on;
}

std::vector<Launch> forward(const Extent& e);
std::size_t workspace_bytes(const Extent& e);

inline constexpr KernelFamily kFamily = {
    .name = "decode_sm80",
    .description =
        "FlashDecoding for up to 512 query rows a K/V head: equal shares of all keys, "
        "mma.sync, cp.async; forward, d up to 256",
    .supports = {.features = {Feature::kCausal, Feature::kKeyMask, Feature::kWindow},
                 .dtypes = {Dtype::kBf16, Dtype::kF16},
                 .max_d = kMaxHeadDim},
    .min_capability = 80,
    .max_rows = kMostRows,
    .always_rows = kRows,
    .pays = pays,
    .shared_bytes = needed_shared_bytes,
    .workspace_bytes = workspace_bytes,
    .forward = forward,
};

}  // namespace flashbench::cuda::decode_sm80

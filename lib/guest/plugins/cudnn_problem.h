// What of a problem cuDNN computes, and how its masks and lengths are said to cuDNN. No header of
// cuDNN or CUDA is needed here, so that this is tested where there is neither.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "flashbench_kernel.h"

namespace cudnn_plugin {

inline bool uses(const fbk_problem& p, std::uint32_t features) {
  return (p.features & features) != 0;
}

/// Query i sees key j iff j > i' - left and j <= i' + right, where i' is i from the top left, or
/// i + kv_len - q_len with the lengths of its sequence.
struct Band {
  bool bottom_right = false;
  std::optional<std::int64_t> left, right;
};

/// A key mask says the lengths of sequences to cuDNN, which then aligns the bottom right at them:
/// the problem's alignment is put into the bounds. Where lengths are equal both corners are one.
inline Band band_of(const fbk_problem& p) {
  Band band;
  const bool is_window = uses(p, FBK_WINDOW);
  if (uses(p, FBK_CAUSAL))
    band.right = 0;
  else if (is_window && p.window_right >= 0)
    band.right = p.window_right;
  // What no query is kept from is no bound: then cuDNN has engines for decoding.
  if (band.right && *band.right >= p.q_len - 1) band.right.reset();
  if (is_window && p.window_left >= 0 && p.window_left < p.kv_len - 1)
    band.left = p.window_left + 1;
  if (uses(p, FBK_KEY_MASK)) {
    const std::int64_t shift = p.kv_len - p.q_len;
    if (band.left) *band.left -= shift;
    if (band.right) *band.right += shift;
  } else {
    band.bottom_right = uses(p, FBK_RAGGED) || p.q_len != p.kv_len;
  }
  return band;
}

/// Why cuDNN, or this plug-in, does not compute it; null: it may.
inline const char* refuses(const fbk_problem& p) {
  constexpr std::uint32_t kKnown = FBK_GPU | FBK_CAUSAL | FBK_KEY_MASK | FBK_WINDOW |
                                   FBK_VALUE_DIM | FBK_RAGGED | FBK_DETERMINISTIC;
  struct Refused {
    std::uint32_t feature;
    const char* why;
  };
  constexpr Refused kRefused[] = {
      {FBK_SOFTCAP, "no soft cap: the plug-in does not say it to cuDNN"},
      {FBK_ALIBI, "no ALiBi: cuDNN computes slopes of its own, aligned at the top left"},
      {FBK_BIAS | FBK_BIAS_GRADIENT, "no bias: the plug-in does not say it to cuDNN"},
      {FBK_SINKS, "no sinks: the plug-in does not say them to cuDNN"},
      {FBK_KV_DTYPE, "no K and V of 8 bits under a Q of 16: cuDNN wants all three alike"},
      {FBK_VALUES_IN_KEYS, "V has a tensor of its own"},
      {FBK_PAGES, "no pages: the plug-in does not say them to cuDNN"}};
  if (!uses(p, FBK_GPU) || p.device.device_type != FBK_CUDA) return "add --backend cuda";
  for (const Refused& r : kRefused)
    if (uses(p, r.feature)) return r.why;
  if (uses(p, ~kKnown)) return "this problem uses what the plug-in does not know";
  if (p.dtype.bits != 16 || (p.dtype.code != FBK_FLOAT && p.dtype.code != FBK_BFLOAT))
    return "bf16 and f16 alone";
  if (p.d % 8 != 0 || p.d_v % 8 != 0) return "d and d_v in multiples of 8 alone";
  if (uses(p, FBK_RAGGED)) {
    if (uses(p, FBK_KEY_MASK)) return "a ragged batch has no key mask";
    return nullptr;
  }
  if (uses(p, FBK_CAUSAL | FBK_WINDOW) && p.q_len > p.kv_len)
    return "masks by position with at most as many queries as keys: the first ones would see none";
  const Band band = band_of(p);
  if (band.left && *band.left < 1)
    return "with a key mask the window of the first query has to reach the first key";
  return nullptr;
}

/// What cuDNN reads as 32-bit numbers in the memory of the GPU: lengths [b], and where the rows of
/// each sequence begin, in elements, [b + 1].
enum Table {
  kQueryLengths,
  kKeyLengths,
  kQueryOffsets,
  kKeyOffsets,
  kValueOffsets,
  kOutputOffsets,
  kLseOffsets,
  kTables
};
using Tables = std::array<std::vector<std::int32_t>, kTables>;

constexpr const char* kSeesNoKey = "each query has to see a key: cuDNN gives no O = 0 without";

/// The lengths that a key mask [b, kv_len] says, if it keeps the first keys of each batch element.
/// Null: `tables` has them; else why not.
inline const char* lengths_of_mask(const fbk_problem& p, const std::uint8_t* mask, Tables& tables) {
  // The last query's window begins there.
  const bool is_window = uses(p, FBK_WINDOW) && p.window_left >= 0;
  const std::int64_t least =
      is_window ? std::max<std::int64_t>(1, p.kv_len - p.window_left) : std::int64_t{1};
  for (std::int64_t b = 0; b < p.b; ++b) {
    const std::uint8_t* row = mask + b * p.kv_len;
    const std::uint8_t* end =
        std::find_if(row, row + p.kv_len, [](std::uint8_t keep) { return keep == 0; });
    if (std::any_of(end, row + p.kv_len, [](std::uint8_t keep) { return keep != 0; }))
      return "key masks that keep the first keys alone: cuDNN takes lengths";
    if (end - row < least) return kSeesNoKey;
    tables[kQueryLengths].push_back(static_cast<std::int32_t>(p.q_len));
    tables[kKeyLengths].push_back(static_cast<std::int32_t>(end - row));
  }
  return nullptr;
}

/// The lengths and offsets of a ragged batch. Null: `tables` has them; else why not.
inline const char* tables_of_sequences(const fbk_problem& p, const std::int32_t* cu_q,
                                       const std::int32_t* cu_k, Tables& tables) {
  struct Offsets {
    Table table;
    const std::int32_t* rows;
    std::int64_t elements;  // of a row
  };
  const Offsets offsets[] = {{kQueryOffsets, cu_q, p.h * p.d},
                             {kKeyOffsets, cu_k, p.h_kv * p.d},
                             {kValueOffsets, cu_k, p.h_kv * p.d_v},
                             {kOutputOffsets, cu_q, p.h * p.d_v},
                             {kLseOffsets, cu_q, p.h}};
  for (std::int64_t b = 0; b < p.b; ++b) {
    const std::int32_t q_len = cu_q[b + 1] - cu_q[b], kv_len = cu_k[b + 1] - cu_k[b];
    if (q_len == 0 || kv_len == 0) return "no empty sequences";
    if (uses(p, FBK_CAUSAL | FBK_WINDOW) && q_len > kv_len) return kSeesNoKey;
    tables[kQueryLengths].push_back(q_len);
    tables[kKeyLengths].push_back(kv_len);
  }
  for (const Offsets& o : offsets) {
    if (o.rows[p.b] > std::numeric_limits<std::int32_t>::max() / o.elements)
      return "the plug-in counts elements of a ragged batch in 32 bits";
    for (std::int64_t b = 0; b <= p.b; ++b)
      tables[o.table].push_back(static_cast<std::int32_t>(o.rows[b] * o.elements));
  }
  return nullptr;
}

}  // namespace cudnn_plugin

#pragma once

#include <cstdint>

namespace flashbench::oracle {

/// One head by the definition: key j is visible to query i iff the padding mask keeps j, and, where
/// causal, j <= i + kv_len - q_len. Written out, so that it can judge core/visible.h.
struct LiteralHead {
  std::int64_t q_len, kv_len, d;
  double scale;
  bool causal = false;
  const std::uint8_t* key_mask = nullptr;  ///< [kv_len], 1 = keep; null: all kept

  bool visible(std::int64_t i, std::int64_t j) const {
    return (key_mask == nullptr || key_mask[j] != 0) && (!causal || j <= i + kv_len - q_len);
  }
  bool empty_row(std::int64_t i) const {
    for (std::int64_t j = 0; j < kv_len; ++j)
      if (visible(i, j)) return false;
    return true;
  }
};

}  // namespace flashbench::oracle

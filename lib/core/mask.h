#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace flashbench {

struct KeyRange {
  std::int64_t begin, end;
};

/// Query q sees key k iff k <= q + offset, offset = kv_len - q_len: aligned at the bottom right,
/// so that the last query sees every key.
struct CausalMask {
  std::int64_t offset, kv_len;

  constexpr KeyRange keys(std::int64_t q) const {
    return {0, std::clamp<std::int64_t>(q + offset + 1, 0, kv_len)};
  }
};
static_assert(CausalMask{0, 4}.keys(0).end == 1);
static_assert(CausalMask{-4, 3}.keys(3).end == 0, "more queries than keys: early rows see nothing");

/// The keys of one batch element that its padding mask keeps, in order. Kernels pack only these,
/// so that a causal bound becomes a count of kept keys and no tile is ever masked for padding.
struct KeptKeys {
  std::vector<std::int32_t> position;  ///< position[i]: the key that is kept as number i
  std::vector<std::int32_t> before;    ///< before[k]: how many of keys [0, k) are kept; kv_len + 1

  /// `mask` is one row of the [b, kv_len] padding mask, or empty: all kept.
  KeptKeys(std::span<const std::uint8_t> mask, std::int64_t kv_len);

  std::int64_t count() const { return static_cast<std::int64_t>(position.size()); }
};

/// Which kept keys each query of one batch element sees: always the first `visible(q)` of them.
class Visibility {
 public:
  Visibility(const KeptKeys& kept, bool causal, std::int64_t q_len, std::int64_t kv_len)
      : kept_(&kept), causal_(causal), causal_mask_{kv_len - q_len, kv_len} {}

  std::int64_t visible(std::int64_t q) const {
    if (!causal_) return kept_->count();
    return kept_->before[static_cast<std::size_t>(causal_mask_.keys(q).end)];
  }

 private:
  const KeptKeys* kept_;
  bool causal_;
  CausalMask causal_mask_;
};

}  // namespace flashbench

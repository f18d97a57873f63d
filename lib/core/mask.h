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
class KeptKeys {
 public:
  /// `mask` is one row of the [b, kv_len] padding mask, or empty: all kept.
  KeptKeys(std::span<const std::uint8_t> mask, std::int64_t kv_len);

  std::int64_t count() const { return count_; }
  /// How many of keys [0, k) are kept.
  std::int64_t before(std::int64_t k) const {
    return before_.empty() ? k : before_[static_cast<std::size_t>(k)];
  }
  /// Entry i is the key that is kept as number i; null when all are kept.
  const std::int32_t* positions() const { return before_.empty() ? nullptr : position_.data(); }

  /// Bytes that the tables of one batch element take.
  static constexpr std::size_t bytes(bool padded, std::int64_t kv_len) {
    return padded ? static_cast<std::size_t>(2 * kv_len + 1) * sizeof(std::int32_t) : 0;
  }

 private:
  std::int64_t count_;
  std::vector<std::int32_t> position_, before_;  // empty when all keys are kept
};

/// Which kept keys each query of one batch element sees: always the first `visible(q)` of them.
class Visibility {
 public:
  Visibility(std::span<const std::uint8_t> mask, bool causal, std::int64_t q_len,
             std::int64_t kv_len)
      : kept_(mask, kv_len), causal_(causal), causal_mask_{kv_len - q_len, kv_len} {}

  const KeptKeys& kept() const { return kept_; }
  std::int64_t visible(std::int64_t q) const {
    return causal_ ? kept_.before(causal_mask_.keys(q).end) : kept_.count();
  }
  /// The first query that sees kept key number i; queries before it do not, all after it do.
  std::int64_t first_query(std::int64_t i) const {
    if (!causal_) return 0;
    const std::int64_t key = kept_.positions() == nullptr ? i : kept_.positions()[i];
    return std::max<std::int64_t>(0, key - causal_mask_.offset);
  }

 private:
  KeptKeys kept_;
  bool causal_;
  CausalMask causal_mask_;
};

/// One Visibility per batch element of a [b, kv_len] padding mask (empty: nothing is padded).
std::vector<Visibility> visibilities(std::span<const std::uint8_t> key_mask, bool causal,
                                     std::int64_t b, std::int64_t q_len, std::int64_t kv_len);

}  // namespace flashbench

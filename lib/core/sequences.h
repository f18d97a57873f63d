#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace flashbench {

/// How many queries and keys a sequence has; either may be none.
struct SequenceLengths {
  std::int64_t queries = 0, keys = 0;

  friend bool operator==(const SequenceLengths&, const SequenceLengths&) = default;
};

inline constexpr std::int64_t kMostSequences = 1 << 16;

/// The sequences of a ragged batch (FlashAttention's "varlen"): each has lengths of its own, and
/// the rows of one lie behind those of the one before it. One object for each list of lengths,
/// which lives as long as the program, so that shapes can point to it and stay plain data.
class Sequences {
 public:
  static const Sequences* of(const std::vector<SequenceLengths>& lengths);

  std::int64_t count() const { return static_cast<std::int64_t>(lengths_.size()); }
  const std::vector<SequenceLengths>& lengths() const { return lengths_; }
  const SequenceLengths& operator[](std::int64_t i) const {
    return lengths_[static_cast<std::size_t>(i)];
  }
  /// The most that one has, 1 at least.
  std::int64_t most_queries() const { return most_queries_; }
  std::int64_t most_keys() const { return most_keys_; }
  /// [count + 1]: where the rows of each begin; the last is how many there are (FlashAttention's
  /// cu_seqlens_q and cu_seqlens_k).
  std::span<const std::int64_t> first_query() const { return first_query_; }
  std::span<const std::int64_t> first_key() const { return first_key_; }

 private:
  explicit Sequences(std::vector<SequenceLengths> lengths);

  std::vector<SequenceLengths> lengths_;
  std::vector<std::int64_t> first_query_{0}, first_key_{0};
  std::int64_t most_queries_ = 1, most_keys_ = 1;
};

}  // namespace flashbench

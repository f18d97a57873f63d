#pragma once

#include <cstddef>
#include <cstdint>

#include "core/problem.h"
#include "core/tensor.h"
#include "kernel/partial.h"

// What a rank keeps in memory.
namespace flashbench::distributed {

/// A problem of other extents, as a rank has it.
Problem with_extents(const Problem& whole, std::int64_t heads_over, std::int64_t q_len,
                     std::int64_t kv_len);

/// Operands of a problem, its gradients included where it wants some.
struct RankTensors {
  Inputs in;
  Outputs out;

  RankTensors() = default;
  explicit RankTensors(const Problem& p);
  static std::size_t bytes(const Problem& p);
};

/// Buffers for pairs of tensors [b, h_kv, rows, d] and [b, h_kv, rows, d_v] of however many rows up
/// to a most: K and V, or sums of dK and dV. One lies behind the other, so that they travel as one
/// message.
class PairSlots {
 public:
  PairSlots() = default;
  /// Of the K/V heads and widths of `p`.
  PairSlots(const Problem& p, Dtype dtype, int slots, std::int64_t most_rows);

  static std::size_t bytes(const Problem& p, Dtype dtype, int slots, std::int64_t most_rows);
  /// The tensors in a slot, over its memory.
  Tensor of_k(int slot, std::int64_t rows);
  Tensor of_v(int slot, std::int64_t rows);
  /// Both, as a message.
  std::span<std::byte> message(int slot, std::int64_t rows);
  KeySums sums(int slot, std::int64_t rows) { return {of_k(slot, rows), of_v(slot, rows)}; }

 private:
  std::byte* at(int slot);
  std::int64_t elements(std::int64_t d, std::int64_t rows) const { return b_ * heads_ * rows * d; }

  std::int64_t b_ = 0, heads_ = 0, d_ = 0, d_v_ = 0;
  Tensor memory_;  ///< [1, 1, slots, elements of a slot]
};

}  // namespace flashbench::distributed

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace flashbench::cpu {

/// Lets several threads add to dQ. Either under a lock per block of queries, in whatever order they
/// come (fast; the last bits of sums differ from run to run), or in the order of the key blocks
/// (deterministic: a thread waits until the key block before its own has been added). In order,
/// each block of keys from the first to the last that a block of queries sees contributes exactly
/// once.
class DqAccumulator {
 public:
  DqAccumulator(std::int64_t q_blocks_in_all, bool in_order);

  /// Calls add() once it is this key block's turn to write to the block of queries.
  template <typename Add>
  void contribute(std::int64_t q_block, std::int64_t key_block, Add&& add) {
    if (in_order_) {
      wait_for_turn(q_block, key_block);
      add();
      turn_[static_cast<std::size_t>(q_block)].store(key_block + 1, std::memory_order_release);
    } else {
      const std::lock_guard lock(mutex_[static_cast<std::size_t>(q_block)]);
      add();
    }
  }
  void reset();
  /// The first block of keys that contributes to a block of queries. Before any does.
  void begin_with(std::int64_t q_block, std::int64_t key_block) {
    if (in_order_)
      turn_[static_cast<std::size_t>(q_block)].store(key_block, std::memory_order_relaxed);
  }
  static std::size_t bytes(std::int64_t q_blocks_in_all, bool in_order);

 private:
  void wait_for_turn(std::int64_t q_block, std::int64_t key_block) const;

  bool in_order_;
  std::int64_t count_;
  std::unique_ptr<std::mutex[]> mutex_;
  std::unique_ptr<std::atomic<std::int64_t>[]> turn_;
};

}  // namespace flashbench::cpu

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace flashbench::cpu {

/// Lets several threads add to the parts of a gradient: dQ of a block of queries, rows of dbias.
/// Either under a lock per part, in whatever order they come (fast; the last bits of sums differ
/// from run to run), or each in its turn (deterministic: a thread waits until the one before it has
/// added). Then turns of a part must be numbered without gaps, and work that holds earlier turns be
/// drawn earlier and take them in the same order, so that the first in flight never waits.
class SharedAccumulator {
 public:
  SharedAccumulator(std::int64_t parts, bool in_order);

  /// Calls add() once it is its turn to write to the part; not at all where a signal ends the wait.
  template <typename Add>
  void contribute(std::int64_t part, std::int64_t turn, Add&& add) {
    if (in_order_) {
      if (!wait_for_turn(part, turn)) return;
      add();
      turn_[static_cast<std::size_t>(part)].store(turn + 1, std::memory_order_release);
    } else {
      const std::lock_guard lock(mutex_[static_cast<std::size_t>(part)]);
      add();
    }
  }
  /// Before each run: turns begin at 0.
  void reset();
  /// They begin at another one. Before anything contributes to the part.
  void begin_with(std::int64_t part, std::int64_t turn) {
    if (in_order_) turn_[static_cast<std::size_t>(part)].store(turn, std::memory_order_relaxed);
  }
  static std::size_t bytes(std::int64_t parts, bool in_order);

 private:
  /// Whether it came: a signal ends the wait.
  bool wait_for_turn(std::int64_t part, std::int64_t turn) const;

  bool in_order_;
  std::int64_t parts_;
  std::unique_ptr<std::mutex[]> mutex_;
  std::unique_ptr<std::atomic<std::int64_t>[]> turn_;
};

}  // namespace flashbench::cpu

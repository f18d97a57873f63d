#include "cpu/dq_accumulator.h"

#include <thread>

namespace flashbench::cpu {

DqAccumulator::DqAccumulator(std::int64_t q_blocks_in_all, bool in_order)
    : in_order_(in_order), count_(q_blocks_in_all) {}

void DqAccumulator::reset() {
  const auto n = static_cast<std::size_t>(count_);
  if (!in_order_) {
    if (!mutex_) mutex_ = std::make_unique<std::mutex[]>(n);
    return;
  }
  if (!turn_) turn_ = std::make_unique<std::atomic<std::int64_t>[]>(n);
  for (std::size_t i = 0; i < n; ++i) turn_[i].store(0, std::memory_order_relaxed);
}

std::size_t DqAccumulator::bytes(std::int64_t q_blocks_in_all, bool in_order) {
  return static_cast<std::size_t>(q_blocks_in_all) *
         (in_order ? sizeof(std::atomic<std::int64_t>) : sizeof(std::mutex));
}

void DqAccumulator::wait_for_turn(std::int64_t q_block, std::int64_t key_block) const {
  // Key blocks are drawn in ascending order, so the lowest one in flight never waits.
  while (turn_[static_cast<std::size_t>(q_block)].load(std::memory_order_acquire) != key_block)
    std::this_thread::yield();
}

}  // namespace flashbench::cpu

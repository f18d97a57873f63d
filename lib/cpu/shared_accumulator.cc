#include "cpu/shared_accumulator.h"

#include <thread>

#include "system/interrupt.h"

namespace flashbench::cpu {

SharedAccumulator::SharedAccumulator(std::int64_t parts, bool in_order)
    : in_order_(in_order), parts_(parts) {}

void SharedAccumulator::reset() {
  const auto n = static_cast<std::size_t>(parts_);
  if (!in_order_) {
    if (!mutex_) mutex_ = std::make_unique<std::mutex[]>(n);
    return;
  }
  if (!turn_) turn_ = std::make_unique<std::atomic<std::int64_t>[]>(n);
  for (std::size_t i = 0; i < n; ++i) turn_[i].store(0, std::memory_order_relaxed);
}

std::size_t SharedAccumulator::bytes(std::int64_t parts, bool in_order) {
  return static_cast<std::size_t>(parts) *
         (in_order ? sizeof(std::atomic<std::int64_t>) : sizeof(std::mutex));
}

bool SharedAccumulator::wait_for_turn(std::int64_t part, std::int64_t turn) const {
  while (turn_[static_cast<std::size_t>(part)].load(std::memory_order_acquire) != turn) {
    if (interrupted()) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace flashbench::cpu

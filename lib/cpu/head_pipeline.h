#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "cpu/attention_pass.h"

namespace flashbench::cpu {

/// The order in which threads pack K/V heads and compute attention with them. Heads are packed a
/// few at a time (a wave), so that packed panels never amount to whole tensors. Threads draw tasks
/// from one list, in which the next wave is packed halfway through the present one: a task waits
/// only for tasks drawn before it, and no thread idles at the end of a wave (a barrier there cost 4
/// % with two threads). At most two waves are in flight, with at least four items a thread in each;
/// a task costs one atomic addition, an item takes about a millisecond.
class HeadPipeline {
 public:
  HeadPipeline(std::int64_t heads, std::int64_t chunks, std::int64_t items, int threads)
      : heads_(heads),
        chunks_(chunks),
        items_(items),
        wave_(std::clamp<std::int64_t>(blocks(4 * threads, items), 1, heads)) {
    pack_wave(0);
    for (std::int64_t first = 0; first < heads_; first += wave_) {
      const std::int64_t count = std::min(wave_, heads_ - first), half = items_ / 2;
      attend_wave(first, count, 0, half);
      pack_wave(first + wave_);
      attend_wave(first, count, half, items_);
    }
  }

  /// Heads that are packed at one time; head h lies in slot h % slots().
  std::int64_t slots() const { return std::min(heads_, 2 * wave_); }

  /// To be called before each parallel region that calls work().
  void start() {
    next_.store(0, std::memory_order_relaxed);
    if (!packed_) {
      packed_ = std::make_unique<Count[]>(static_cast<std::size_t>(heads_));
      attended_ = std::make_unique<Count[]>(static_cast<std::size_t>(heads_));
    }
    for (std::size_t h = 0; h < static_cast<std::size_t>(heads_); ++h) {
      packed_[h].store(0, std::memory_order_relaxed);
      attended_[h].store(0, std::memory_order_relaxed);
    }
  }

  /// Called by every thread of the region: runs pack(head, chunk) and attend(head, item) until no
  /// task is left. The items of a head are drawn in ascending order.
  template <typename Pack, typename Attend>
  void work(Pack&& pack, Attend&& attend) {
    for (;;) {
      const std::size_t drawn = next_.fetch_add(1, std::memory_order_relaxed);
      if (drawn >= tasks_.size()) return;
      const Task& task = tasks_[drawn];
      if (task.packs) {
        if (task.head >= slots()) wait(attended_, task.head - slots(), items_);
        pack(task.head, task.index);
        finish(packed_, task.head);
      } else {
        wait(packed_, task.head, chunks_);
        attend(task.head, task.index);
        finish(attended_, task.head);
      }
    }
  }

 private:
  using Count = std::atomic<std::int64_t>;
  struct Task {
    bool packs;
    std::int64_t head, index;
  };

  void pack_wave(std::int64_t first) {
    for (std::int64_t h = first; h < std::min(first + wave_, heads_); ++h)
      for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) tasks_.push_back({true, h, chunk});
  }
  void attend_wave(std::int64_t first, std::int64_t count, std::int64_t from, std::int64_t to) {
    for (std::int64_t item = from; item < to; ++item)
      for (std::int64_t h = first; h < first + count; ++h) tasks_.push_back({false, h, item});
  }
  static void wait(const std::unique_ptr<Count[]>& counts, std::int64_t head, std::int64_t all) {
    while (counts[static_cast<std::size_t>(head)].load(std::memory_order_acquire) != all)
      std::this_thread::yield();
  }
  static void finish(const std::unique_ptr<Count[]>& counts, std::int64_t head) {
    counts[static_cast<std::size_t>(head)].fetch_add(1, std::memory_order_release);
  }

  std::int64_t heads_, chunks_, items_, wave_;
  std::vector<Task> tasks_;
  std::atomic<std::size_t> next_ = 0;
  std::unique_ptr<Count[]> packed_, attended_;
};

}  // namespace flashbench::cpu

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
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
  /// How many tasks a head is.
  struct Head {
    std::int64_t chunks, items;
  };

  HeadPipeline(std::vector<Head> heads, int threads) : heads_(std::move(heads)) {
    const std::vector<std::int64_t> ends = wave_ends(4 * threads);
    pack_wave(0, ends.front());
    for (std::size_t wave = 0; wave < ends.size(); ++wave) {
      const std::int64_t first = wave == 0 ? 0 : ends[wave - 1], end = ends[wave];
      const std::int64_t next_end = wave + 1 < ends.size() ? ends[wave + 1] : end;
      attend_wave(first, end, Half::kFirst);
      pack_wave(end, next_end);
      attend_wave(first, end, Half::kSecond);
      slots_ = std::max(slots_, next_end - first);
    }
  }

  /// Heads that are packed at one time; head h lies in slot h % slots().
  std::int64_t slots() const { return slots_; }

  /// To be called before each parallel region that calls work().
  void start() {
    next_.store(0, std::memory_order_relaxed);
    if (!packed_) {
      packed_ = std::make_unique<Count[]>(heads_.size());
      attended_ = std::make_unique<Count[]>(heads_.size());
    }
    for (std::size_t h = 0; h < heads_.size(); ++h) {
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
        if (const std::int64_t before = task.head - slots(); before >= 0)
          wait(attended_, before, head(before).items);
        pack(task.head, task.index);
        finish(packed_, task.head);
      } else {
        wait(packed_, task.head, head(task.head).chunks);
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

  enum class Half { kFirst, kSecond };

  const Head& head(std::int64_t h) const { return heads_[static_cast<std::size_t>(h)]; }
  /// The ends of waves of so many items at the least, but for the last one.
  std::vector<std::int64_t> wave_ends(std::int64_t least) const {
    const auto heads = static_cast<std::int64_t>(heads_.size());
    std::vector<std::int64_t> ends;
    std::int64_t items = 0;
    for (std::int64_t h = 0; h < heads; ++h) {
      items += head(h).items;
      if (items < least && h + 1 < heads) continue;
      ends.push_back(h + 1);
      items = 0;
    }
    return ends;
  }
  void pack_wave(std::int64_t first, std::int64_t end) {
    for (std::int64_t h = first; h < end; ++h)
      for (std::int64_t chunk = 0; chunk < head(h).chunks; ++chunk)
        tasks_.push_back({true, h, chunk});
  }
  /// Half of the items of each head, by turns.
  void attend_wave(std::int64_t first, std::int64_t end, Half half) {
    bool any = true;
    for (std::int64_t step = 0; any; ++step) {
      any = false;
      for (std::int64_t h = first; h < end; ++h) {
        const std::int64_t items = head(h).items, in_first = items / 2;
        const std::int64_t item = half == Half::kFirst ? step : in_first + step;
        if (item >= (half == Half::kFirst ? in_first : items)) continue;
        tasks_.push_back({false, h, item});
        any = true;
      }
    }
  }
  static void wait(const std::unique_ptr<Count[]>& counts, std::int64_t head, std::int64_t all) {
    while (counts[static_cast<std::size_t>(head)].load(std::memory_order_acquire) != all)
      std::this_thread::yield();
  }
  static void finish(const std::unique_ptr<Count[]>& counts, std::int64_t head) {
    counts[static_cast<std::size_t>(head)].fetch_add(1, std::memory_order_release);
  }

  std::vector<Head> heads_;
  std::int64_t slots_ = 0;
  std::vector<Task> tasks_;
  std::atomic<std::size_t> next_ = 0;
  std::unique_ptr<Count[]> packed_, attended_;
};

}  // namespace flashbench::cpu

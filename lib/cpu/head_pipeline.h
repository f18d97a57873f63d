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
/// a task costs one atomic addition, an item takes about a millisecond. A single thread, which
/// never waits, packs each head just before its items, over the panels of the last one: they are in
/// L2.
class HeadPipeline {
 public:
  /// How many tasks a head is, and how many floats its packed panels take.
  struct Head {
    std::int64_t chunks, items;
    std::size_t floats;
  };

  HeadPipeline(std::vector<Head> heads, int threads) : heads_(std::move(heads)) {
    std::int64_t tasks = 0;
    for (const Head& h : heads_) tasks += h.chunks + h.items;
    tasks_.reserve(static_cast<std::size_t>(tasks));
    places_.reserve(heads_.size());
    if (threads == 1) {
      one_by_one();
      return;
    }
    const std::vector<std::int64_t> ends = wave_ends(4 * threads);
    const auto begin = [&](std::size_t wave) { return wave == 0 ? 0 : ends[wave - 1]; };
    const auto end = [&](std::size_t wave) { return ends[std::min(wave, ends.size() - 1)]; };
    place(ends);
    pack_wave(0, end(0));
    for (std::size_t wave = 0; wave < ends.size(); ++wave) {
      attend_wave(begin(wave), end(wave), Half::kFirst);
      pack_wave(end(wave), end(wave + 1));
      attend_wave(begin(wave), end(wave), Half::kSecond);
    }
  }

  /// Of the panels of all heads that are packed at one time: two waves.
  std::size_t floats() const { return region_floats_[0] + region_floats_[1]; }
  /// Of the lists themselves: where heads are many and short, as much as their tensors.
  std::size_t list_bytes() const {
    return heads_.size() * (sizeof(Head) + sizeof(Place) + 2 * sizeof(Count)) +
           tasks_.size() * sizeof(Task);
  }
  /// Where those of a head begin.
  std::size_t first_float(std::int64_t head) const {
    return places_[static_cast<std::size_t>(head)].first_float;
  }

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
        const Place& place = places_[static_cast<std::size_t>(task.head)];
        for (std::int64_t before = place.from; before < place.until; ++before)
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
  /// Of a head's panels; heads [from, until), two waves before, lay there.
  struct Place {
    std::size_t first_float;
    std::int64_t from, until;
  };

  void one_by_one() {
    const auto count = static_cast<std::int64_t>(heads_.size());
    for (std::int64_t h = 0; h < count; ++h) {
      places_.push_back({0, 0, 0});
      region_floats_[0] = std::max(region_floats_[0], head(h).floats);
      pack_wave(h, h + 1);
      for (std::int64_t item = 0; item < head(h).items; ++item) tasks_.push_back({false, h, item});
    }
  }
  /// Waves take turns in two regions, each as large as the largest that it holds.
  void place(const std::vector<std::int64_t>& ends) {
    for (std::size_t wave = 0; wave < ends.size(); ++wave) {
      const std::int64_t from = wave < 3 ? 0 : ends[wave - 3],
                         until = wave < 2 ? 0 : ends[wave - 2];
      std::size_t used = 0;
      for (std::int64_t h = wave == 0 ? 0 : ends[wave - 1]; h < ends[wave]; ++h) {
        places_.push_back({used, from, until});
        used += head(h).floats;
      }
      region_floats_[wave % 2] = std::max(region_floats_[wave % 2], used);
    }
    for (std::size_t wave = 1; wave < ends.size(); wave += 2)
      for (std::int64_t h = ends[wave - 1]; h < ends[wave]; ++h)
        places_[static_cast<std::size_t>(h)].first_float += region_floats_[0];
  }

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
  std::vector<Place> places_;  ///< of each head
  std::size_t region_floats_[2] = {};
  std::vector<Task> tasks_;
  std::atomic<std::size_t> next_ = 0;
  std::unique_ptr<Count[]> packed_, attended_;
};

}  // namespace flashbench::cpu

// Phases of mbarriers, the bulk loads that complete them, and what the async proxy may read.
#include <algorithm>

#include "ptx/machine/cta.h"

namespace flashbench::ptx {

MBarrier& Cta::mbarrier(const Site& at, std::uint32_t offset) {
  const auto it = mbarriers_.find(offset);
  if (it == mbarriers_.end()) {
    fail(FindingKind::kBarrier, at,
         fmt::format("no mbarrier is initialised at shared offset {}",
                     static_cast<std::int64_t>(offset) - kSharedBase));
  }
  const SharedWord& s = shared_.words[offset / 4];
  const auto me = static_cast<std::size_t>(at.warp.id);
  if (s.writer != me && s.write_clock > at.warp.clock[s.writer]) {
    report(FindingKind::kRace, at, [] {
      return std::string("uses an mbarrier whose initialisation nothing orders before");
    });
  }
  return it->second;
}

void Cta::init_mbarrier(const Site& at, std::uint32_t offset, std::uint32_t count) {
  if (offset % 8 != 0) fail(FindingKind::kMisaligned, at, "an mbarrier not 8-byte aligned");
  shared_bytes(at, offset, 8);
  if (count == 0) fail(FindingKind::kBarrier, at, "an mbarrier for 0 arrivals");
  const auto it = mbarriers_.find(offset);
  const std::size_t agent = it != mbarriers_.end() ? it->second.agent : warps_.size() + agents_++;
  if (agent >= kMaxAgents) fail(FindingKind::kInvalid, at, "more mbarriers than are known of");
  check_shared_write(at, offset, 8, nullptr, false);
  mark_shared_write(at, offset, 8, false);
  MBarrier b;
  b.agent = agent;
  b.count = b.pending = count;
  mbarriers_[offset] = b;
}

void Cta::invalidate_mbarrier(const Site& at, std::uint32_t offset) {
  mbarrier(at, offset);
  mbarriers_.erase(offset);
}

void Cta::arrive_at_mbarrier(const Site& at, std::uint32_t offset, std::uint32_t arrivals) {
  MBarrier& b = mbarrier(at, offset);
  if (b.pending < arrivals) {
    fail(FindingKind::kBarrier, at,
         fmt::format("mbarrier at shared offset {}: more arrivals than its count of {}",
                     offset - kSharedBase, b.count));
  }
  b.pending -= arrivals;
  end_phase(offset);
}

void Cta::end_phase(std::uint32_t offset) {
  MBarrier& b = mbarriers_.at(offset);
  if (b.pending != 0 || b.bytes != 0) return;
  ++b.phase;
  b.pending = b.count;
  b.done = b.clock;
  ++progress_;
  ++counters().barriers;
  for (const auto& w : warps_) {
    for_lanes(w->alive & ~w->runnable, [&](int i) {
      std::uint32_t& waits = w->waits_for[static_cast<std::size_t>(i)];
      if (waits != offset) return;
      waits = 0;
      wake(*w, LaneMask{1} << i);
    });
  }
}

void Cta::add_pending_load(std::function<void()> run) {
  pending_loads_.push_back({static_cast<int>(random_() % 12), std::move(run)});
}

// Loads that are due arrive in random order; if no thread can run, one arrives early.
void Cta::complete_pending_loads(bool threads_stuck) {
  std::shuffle(pending_loads_.begin(), pending_loads_.end(), random_);
  for (std::size_t i = 0; i < pending_loads_.size();) {
    if (pending_loads_[i].delay-- > 0 && !threads_stuck) {
      ++i;
      continue;
    }
    const auto run = std::move(pending_loads_[i].run);
    pending_loads_.erase(pending_loads_.begin() + static_cast<std::ptrdiff_t>(i));
    run();
    ++progress_;
    threads_stuck = false;
  }
}

void Cta::mark_async_write(std::uint32_t offset, std::uint32_t bytes, const MBarrier& b, int line) {
  std::fill_n(shared_.written.begin() + offset, bytes, std::uint8_t{1});
  for (std::uint32_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
    SharedWord& s = shared_.words[word];
    s.write_clock = b.clock[b.agent];
    s.write_line = line;
    s.writer = static_cast<std::uint8_t>(b.agent);
    s.lane = kWholeWarp;
    s.bytes = 0xF;
    s.async = true;
    s.atomic = false;
  }
}

bool Cta::visible_to_async(const Warp& w, const SharedWord& s) const {
  if (s.write_clock == 0 || s.async || s.writer >= warps_.size()) return true;
  const std::size_t writer = s.writer;
  return s.write_clock <= std::max(warps_[writer]->fenced[writer], w.fenced[writer]);
}

void Cta::check_async_read(const Site& at, std::uint32_t offset, std::uint32_t bytes) {
  check_shared_read(at, offset, bytes, false);
  if (!launch_.options.detect_races) return;
  for (std::uint32_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
    const SharedWord& s = shared_.words[word];
    if (visible_to_async(at.warp, s)) continue;
    report(FindingKind::kProxy, at, [&] {
      return fmt::format(
          "the async proxy reads shared offset {} that a store (PTX line {}) wrote, without "
          "fence.proxy.async between them",
          word * 4 - kSharedBase, s.write_line);
    });
  }
}

}  // namespace flashbench::ptx

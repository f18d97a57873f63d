// Barriers of a CTA and the completion of cp.async.
#include <algorithm>
#include <cstring>

#include "ptx/machine/cta.h"

namespace flashbench::ptx {

void Cta::reduce(const Site& at, LaneMask lanes, std::uint32_t id, LaneMask predicate) {
  if (id >= barriers_.size()) return;  // arrive reports it
  Barrier& b = barriers_[id];
  b.ones += static_cast<std::uint32_t>(std::popcount(predicate & lanes));
  b.reductions.push_back({&at.warp, lanes, &at.ins});
}

void Cta::arrive(const Site& at, LaneMask lanes, std::uint32_t id, std::uint32_t threads,
                 bool wait) {
  if (id >= barriers_.size()) {
    fail(FindingKind::kBarrier, at, fmt::format("barrier {}: there are only 16", id));
  }
  Barrier& b = barriers_[id];
  const bool all = threads == 0;
  if (!all && threads % kWarpSize != 0) {
    fail(FindingKind::kBarrier, at,
         fmt::format("barrier {}: {} threads are no multiple of the warp size", id, threads));
  }
  if (!all && threads > (threads_ + kWarpSize - 1) / kWarpSize * kWarpSize) {
    fail(FindingKind::kBarrier, at,
         fmt::format("barrier {} waits for {} threads; the CTA has {}", id, threads, threads_));
  }
  const std::uint32_t expected = all ? live_ : threads;
  if (b.arrived != 0 && (b.all != all || (!all && b.expected != expected))) {
    fail(FindingKind::kBarrier, at,
         fmt::format("barrier {}: thread counts differ ({} and {})", id, b.expected, expected));
  }
  b.all = all;
  b.expected = expected;
  // A counted barrier counts whole warps; its last one may be smaller.
  b.arrived += all ? static_cast<std::uint32_t>(std::popcount(lanes)) : kWarpSize;
  release(at.warp, b.clock);
  if (wait) {
    b.waiting.push_back({&at.warp, lanes, &at.ins});
    at.warp.runnable &= ~lanes;
  }
  if (b.arrived > b.expected) {
    fail(FindingKind::kBarrier, at,
         fmt::format("barrier {}: {} threads arrive where {} are expected", id, b.arrived,
                     b.expected));
  }
  if (b.arrived == b.expected) complete(b);
}

void Cta::complete(Barrier& b) {
  for (const Waiting& r : b.reductions) {
    const Instruction& ins = *r.ins;
    if (ins.mode == 0) {  // popc
      for_lanes(r.lanes, [&](int i) { r.warp->set<std::uint32_t>(ins.d, i, b.ones); });
    } else {
      const bool value = ins.mode == 1 ? b.ones == b.expected : b.ones != 0;
      r.warp->set_predicate(ins.d, value ? kAllLanes : 0, r.lanes);
    }
  }
  for (const Waiting& w : b.waiting) {
    join(w.warp->clock, b.clock);
    wake(*w.warp, w.lanes);
  }
  b = Barrier{};
  ++progress_;
  ++counters().barriers;
}

void Cta::limit_in_flight(const Site& at, std::size_t in_flight) const {
  if (in_flight >= kMostInFlight)
    fail(FindingKind::kAsync, at, fmt::format("{} are in flight, and not waited for", in_flight));
}

void Cta::complete_copies(Warp& w, LaneMask lanes, std::uint32_t groups_left) {
  const auto due = [&](const PendingCopy& c) {
    const std::uint32_t committed = w.groups[static_cast<std::size_t>(c.lane)];
    return (lanes >> c.lane & 1) != 0 && c.group < committed && committed - c.group > groups_left;
  };
  const auto middle = std::stable_partition(w.copies.begin(), w.copies.end(),
                                            [&](const PendingCopy& c) { return !due(c); });
  std::shuffle(middle, w.copies.end(), random_);
  for (auto c = middle; c != w.copies.end(); ++c) {
    const Site at{w, *c->ins, c->lane};
    shared_.add_in_flight(c->to, c->bytes, -1);
    std::array<std::uint8_t, 16> data{};
    if (c->source_bytes > 0) {
      std::memcpy(data.data(), read(at, c->from, c->source_bytes, Space::kGlobal), c->source_bytes);
    }
    mark_shared_write(at, c->to, c->bytes, false);
    std::memcpy(shared_.data.data() + c->to, data.data(), c->bytes);
    counters().shared_written_bytes += c->bytes;
  }
  w.copies.erase(middle, w.copies.end());
}

void Cta::check_unfinished_copies(Warp& w, const Instruction& ins, LaneMask lanes) {
  for (const BulkStore& s : w.stores) {
    if ((lanes >> s.lane & 1) == 0) continue;
    report(FindingKind::kAsync, {w, ins, s.lane}, [&] {
      return fmt::format("exits with a bulk store (PTX line {}) that it never waited for",
                         s.ins->line);
    });
  }
  for (const PendingCopy& c : w.copies) {
    if ((lanes >> c.lane & 1) == 0) continue;
    report(FindingKind::kAsync, {w, ins, c.lane}, [&] {
      return fmt::format("exits with a cp.async (PTX line {}) that it never waited for",
                         c.ins->line);
    });
  }
}

}  // namespace flashbench::ptx

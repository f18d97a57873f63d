// mbarrier: PTX ISA 9.7.13.15, and the fences that the async proxy needs.
#include <algorithm>

#include "ptx/machine/cta.h"
#include "ptx/opcodes/decoder.h"

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

namespace {

std::uint32_t offset_of(const Warp& w, const Instruction& ins, int lane) {
  return static_cast<std::uint32_t>(w.get_wide(ins.a, lane, ins.wide_a) +
                                    static_cast<std::uint64_t>(ins.immediate));
}

void init(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    cta.init_mbarrier({w, ins, i}, offset_of(w, ins, i), w.get<std::uint32_t>(ins.b, i));
  });
}

void invalidate(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) { cta.invalidate_mbarrier({w, ins, i}, offset_of(w, ins, i)); });
}

enum Arrival : std::uint8_t { kArrive, kExpect, kArriveAndExpect };

// b: the count of arrivals or the expected bytes; n: whether there is a b.
void arrive(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const Site at{w, ins, i};
    const std::uint32_t offset = offset_of(w, ins, i);
    MBarrier& b = cta.mbarrier(at, offset);
    const std::uint32_t phase = b.phase;
    Cta::release(w, b.clock);
    const std::uint32_t value = ins.n != 0 ? w.get<std::uint32_t>(ins.b, i) : 1;
    if (ins.mode != kArrive) b.bytes += value;
    if (ins.mode != kExpect) cta.arrive_at_mbarrier(at, offset, ins.mode == kArrive ? value : 1);
    if (ins.d != kSink) w.set<std::uint64_t>(ins.d, i, phase);
  });
}

// b: the phase's parity, or the state that arrive gave. sign: try_wait, which blocks here.
void wait(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  LaneMask done = 0, blocked = 0;
  for_lanes(lanes, [&](int i) {
    const std::uint32_t offset = offset_of(w, ins, i);
    const MBarrier& b = cta.mbarrier({w, ins, i}, offset);
    const std::uint64_t phase = w.get_wide(ins.b, i, ins.wide_d) & 1;
    if ((b.phase & 1) != phase) {
      done |= LaneMask{1} << i;
      join(w.clock, b.done);
    } else if (ins.sign) {
      blocked |= LaneMask{1} << i;
      w.waits_for[static_cast<std::size_t>(i)] = offset;
    }
  });
  w.set_predicate(ins.d, done, lanes);
  w.runnable &= ~blocked;
}

bool decode_arrive(Decoder& d, const Statement& s, Instruction& ins) {
  const std::vector<Operand>& o = s.operands;
  d.operands(1, 3);
  const bool arrives = d.has("arrive"), expects = d.has("expect_tx");
  if (!arrives && !expects) return false;
  std::size_t at = 0;
  if (o[0].kind != Operand::Kind::kAddress) ins.d = d.destination(o[at++]);
  if (at >= o.size()) return false;
  d.address(ins, o[at++]);
  if (at < o.size()) {
    ins.b = d.source(o[at], Type::kU32);
    ins.n = 1;
  }
  if (expects && ins.n == 0) return false;
  ins.mode = arrives ? expects ? kArriveAndExpect : kArrive : kExpect;
  ins.execute = arrive;
  return true;
}

bool decode_mbarrier(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kBarrier;
  d.ignore({"shared", "shared::cta", "cta", "release", "acquire", "relaxed"});
  if (d.has("init") || d.has("inval")) {
    d.operands(1, 2);
    d.address(ins, s.operands[0]);
    ins.execute = s.has("init") ? init : invalidate;
    if (s.has("init")) ins.b = d.source(s.operands[1], Type::kU32);
    return true;
  }
  const bool blocks = d.has("try_wait");
  if (!blocks && !d.has("test_wait")) return decode_arrive(d, s, ins);
  d.operands(3, 4);
  const bool parity = d.has("parity");
  ins.d = d.destination(s.operands[0]);
  d.address(ins, s.operands[1]);
  ins.b = d.source(s.operands[2], parity ? Type::kU32 : Type::kU64);
  ins.wide_d = parity ? 4 : 8;
  ins.sign = ins.blocks = ins.retries = blocks;
  ins.execute = wait;
  return true;
}

void proxy_fence(Cta&, Warp& w, const Instruction&, LaneMask) {
  join(w.fenced, w.clock);
  ++w.clock[static_cast<std::size_t>(w.id)];
}

}  // namespace

bool decode_proxy_fence(Decoder& d, const Statement&, Instruction& ins) {
  d.ignore({"proxy", "async", "async::generic", "shared::cta", "async.shared::cta", "global",
            "release", "cluster", "mbarrier_init"});
  ins.execute = proxy_fence;
  return true;
}

void add_mbarrier_opcodes(OpcodeTable& t) { t["mbarrier"] = decode_mbarrier; }

}  // namespace flashbench::ptx

// mbarrier: PTX ISA 9.7.13.15, and the fences that the async proxy needs.
#include "ptx/machine/cta.h"
#include "ptx/opcodes/decoder.h"

namespace flashbench::ptx {
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
  d.ignore({"shared", "shared::cta", "shared::cluster", "cta", "cluster", "release", "acquire",
            "relaxed"});
  if (d.has("init") || d.has("inval")) {
    const std::size_t operands = s.has("init") ? 2 : 1;
    d.operands(operands, operands);
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

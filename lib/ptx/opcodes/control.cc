// Branches, calls, barriers and fences: PTX ISA 9.7.12, 9.7.13.
#include <bit>

#include "ptx/machine/cta.h"
#include "ptx/opcodes/decoder.h"

namespace flashbench::ptx {
namespace {

bool decode_bra(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kControl;
  ins.control = Control::kBranch;
  d.ignore({"uni"});
  d.operands(1, 1);
  d.branch_to(s.operands[0]);
  return true;
}

bool decode_brx(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kControl;
  ins.control = Control::kIndexedBranch;
  d.ignore({"uni"});
  d.operands(2, 2);
  if (!d.has("idx")) return false;
  ins.a = d.source(s.operands[0], Type::kU32);
  d.indexed_branch_to(ins, s.operands[1]);
  return true;
}

bool decode_exit(Decoder& d, const Statement&, Instruction& ins) {
  ins.kind = InstructionClass::kControl;
  ins.control = Control::kExit;
  d.operands(0, 0);
  return true;
}

bool decode_ret(Decoder& d, const Statement&, Instruction& ins) {
  ins.kind = InstructionClass::kControl;
  ins.control = d.in_entry() ? Control::kExit : Control::kReturn;
  d.ignore({"uni"});
  d.operands(0, 0);
  return true;
}

template <bool kAssert>
void trap(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  cta.fail(FindingKind::kTrap, {w, ins, std::countr_zero(lanes)},
           kAssert ? "a device assertion fails" : "trap");
}

bool decode_call(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kControl;
  d.ignore({"uni"});
  for (const Operand& o : s.operands) {
    if (o.name == "vprintf") {  // printf of a kernel, whose text goes nowhere
      ins.execute = nothing;
      return true;
    }
    if (o.name != "__assertfail") continue;
    ins.execute = trap<true>;
    return true;
  }
  ins.control = Control::kCall;
  d.call(ins);
  return true;
}

bool decode_trap(Decoder&, const Statement&, Instruction& ins) {
  ins.kind = InstructionClass::kControl;
  ins.execute = trap<false>;
  return true;
}

// ---------------------------------------------------------------- barriers

void warp_sync(Cta&, Warp& w, const Instruction&, LaneMask) {
  ++w.clock[static_cast<std::size_t>(w.id)];
}

// a: barrier, b: thread count if n is 1. sign: a reduction, c: its predicate. blocks: .sync and
// .red wait, .arrive does not.
void barrier(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  const Site at{w, ins, std::countr_zero(lanes)};
  const auto id = w.get<std::uint32_t>(ins.a, at.lane);
  const std::uint32_t threads = ins.n != 0 ? w.get<std::uint32_t>(ins.b, at.lane) : 0;
  if (ins.n != 0 && threads == 0) cta.fail(FindingKind::kBarrier, at, "a thread count of 0");
  if (ins.sign) cta.reduce(at, lanes, id, w.predicate(ins.c, ins.negate_c));
  cta.arrive(at, lanes, id, threads, ins.blocks);
}

bool decode_reduction(Decoder& d, const Statement& s, Instruction& ins) {
  const std::vector<Operand>& o = s.operands;
  d.operands(3, 4);
  const Operand& predicate = o.back();
  ins.d = d.destination(o[0]);
  ins.a = d.source(o[1], Type::kU32);
  if (o.size() == 4) {
    ins.b = d.source(o[2], Type::kU32);
    ins.n = 1;
  }
  ins.c = d.source(predicate, Type::kPred);
  ins.negate_c = predicate.negated;
  ins.sign = true;
  ins.blocks = true;
  const bool popc = d.has("popc"), all = d.has("and"), any = d.has("or");
  ins.mode = popc ? 0 : all ? 1 : 2;
  return popc || all || any;
}

bool decode_barrier(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kBarrier;
  d.ignore({"cta"});
  if (d.has("warp")) {
    if (!d.has("sync")) return false;
    d.operands(1, 1);
    ins.control = Control::kCollective;
    ins.members = d.source(s.operands[0], Type::kB32);
    ins.has_members = true;
    ins.mode = kWarpSyncMode;
    ins.execute = warp_sync;
    return true;
  }
  if (d.has("cluster")) return false;
  // bar is short for barrier.aligned: the whole warp must execute it together.
  const bool aligned = d.has("aligned") || s.root() == "bar";
  ins.control = aligned ? Control::kCollective : Control::kPlain;
  ins.execute = barrier;
  if (d.has("red")) return decode_reduction(d, s, ins);
  const bool sync = d.has("sync"), arrive = d.has("arrive");
  if (sync == arrive) return false;
  d.operands(1, 2);
  ins.blocks = sync;
  ins.a = d.source(s.operands[0], Type::kU32);
  if (s.operands.size() == 2) {
    ins.b = d.source(s.operands[1], Type::kU32);
    ins.n = 1;
  }
  return sync || ins.n == 1;
}

// ---------------------------------------------------------------- fences

void memory_fence(Cta& cta, Warp&, const Instruction&, LaneMask) { cta.memory_fence(); }

bool decode_fence(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kBarrier;
  d.operands(0, 0);
  if (s.has("proxy") || s.has("mbarrier_init")) return decode_proxy_fence(d, s, ins);
  d.ignore({"gl", "sys", "cta", "gpu", "cluster", "sc", "acq_rel", "acquire", "release"});
  const bool block_only = s.has("cta");
  ins.execute = block_only ? nothing : memory_fence;
  return true;
}

bool decode_nanosleep(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kControl;
  d.operands(1, 1);
  d.source(s.operands[0], Type::kU32);
  ins.execute = nothing;
  return true;
}

// griddepcontrol (programmatic dependent launch): launches here run one after the other, so that
// neither waiting for the grid before nor releasing the one behind does anything.
bool decode_griddepcontrol(Decoder& d, const Statement&, Instruction& ins) {
  ins.kind = InstructionClass::kControl;
  ins.execute = nothing;
  return d.has("wait") || d.has("launch_dependents");
}

}  // namespace

void add_control_opcodes(OpcodeTable& t) {
  t["bra"] = decode_bra;
  t["brx"] = decode_brx;
  t["exit"] = decode_exit;
  t["ret"] = decode_ret;
  t["call"] = decode_call;
  t["trap"] = decode_trap;
  t["brkpt"] = decode_trap;  // without a debugger they are the same
  t["bar"] = t["barrier"] = decode_barrier;
  t["membar"] = t["fence"] = decode_fence;
  t["nanosleep"] = decode_nanosleep;
  t["griddepcontrol"] = decode_griddepcontrol;
}

}  // namespace flashbench::ptx

// Instructions that lanes of a warp execute together: PTX ISA 9.7.9.6 (shfl) and 9.7.13.
#include <bit>

#include "ptx/machine/cta.h"
#include "ptx/opcodes/integer_ops.h"
#include "ptx/opcodes/lane_ops.h"

namespace flashbench::ptx {
namespace {

void collective(Decoder& d, Instruction& ins, const Operand* members) {
  ins.control = Control::kCollective;
  ins.kind = InstructionClass::kWarp;
  if (members == nullptr) return;
  ins.members = d.source(*members, Type::kB32);
  ins.has_members = true;
}

enum class Shuffle { kUp, kDown, kBfly, kIdx };

// c holds the clamp in bits 0-4 and the segment mask in bits 8-12.
template <Shuffle kMode>
void shfl(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  const auto a = load_row<std::uint32_t>(w, ins.a), b = load_row<std::uint32_t>(w, ins.b),
             c = load_row<std::uint32_t>(w, ins.c);
  Lanes<std::uint32_t> r{};
  LaneMask in_range = 0;
  for (std::uint32_t lane = 0; lane < kWarpSize; ++lane) {
    const std::uint32_t clamp = c.v[lane] & 31, segment = c.v[lane] >> 8 & 31,
                        offset = b.v[lane] & 31;
    const std::uint32_t highest = (lane & segment) | (clamp & ~segment), lowest = lane & segment;
    std::int64_t from = 0;
    bool ok = false;
    if (kMode == Shuffle::kUp) {
      from = std::int64_t{lane} - offset;
      ok = from >= highest;
    } else {
      from = kMode == Shuffle::kDown   ? lane + offset
             : kMode == Shuffle::kBfly ? lane ^ offset
                                       : lowest | (offset & ~segment);
      ok = from <= highest;
    }
    const std::uint32_t source = ok ? static_cast<std::uint32_t>(from) : lane;
    r.v[lane] = a.v[source];
    in_range |= static_cast<LaneMask>(ok) << lane;
    if ((lanes >> lane & 1) != 0 && (lanes >> source & 1) == 0) {
      cta.report(FindingKind::kInvalid, {w, ins, static_cast<int>(lane)}, [&] {
        return fmt::format("takes the value of lane {}, which does not take part ({:08x} do)",
                           source, lanes);
      });
    }
  }
  store_row(w, ins.d, r, lanes);
  w.set_predicate(ins.d2, in_range, lanes);
}

bool decode_shfl(Decoder& d, const Statement& s, Instruction& ins) {
  if (!d.has("sync") || s.type() != Type::kB32) return false;
  d.operands(5, 5);
  const Operand& to = s.operands[0];
  const bool pair = to.kind == Operand::Kind::kPair;
  ins.d = d.destination(pair ? to.parts[0] : to);
  if (pair) ins.d2 = d.destination(to.parts[1]);
  ins.a = d.source(s.operands[1], Type::kB32);
  ins.b = d.source(s.operands[2], Type::kB32);
  ins.c = d.source(s.operands[3], Type::kB32);
  collective(d, ins, &s.operands[4]);
  if (d.has("up")) ins.execute = shfl<Shuffle::kUp>;
  if (d.has("down")) ins.execute = shfl<Shuffle::kDown>;
  if (d.has("bfly")) ins.execute = shfl<Shuffle::kBfly>;
  if (d.has("idx")) ins.execute = shfl<Shuffle::kIdx>;
  return ins.execute != nullptr;
}

enum Vote : std::uint8_t { kAll, kAny, kUni, kBallot };

void vote(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const LaneMask p = w.predicate(ins.a, ins.negate_a) & lanes;
  if (ins.mode == kBallot) {
    for_lanes(lanes, [&](int i) { w.set<std::uint32_t>(ins.d, i, p); });
    return;
  }
  const bool r = ins.mode == kAll ? p == lanes : ins.mode == kAny ? p != 0 : p == lanes || p == 0;
  w.set_predicate(ins.d, r ? kAllLanes : 0, lanes);
}

bool decode_vote(Decoder& d, const Statement& s, Instruction& ins) {
  if (!d.has("sync")) return false;
  d.operands(3, 3);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], Type::kPred);
  ins.negate_a = s.operands[1].negated;
  collective(d, ins, &s.operands[2]);
  const bool known = d.has("all") || d.has("any") || d.has("uni") || d.has("ballot");
  ins.mode = d.has("all") ? kAll : d.has("any") ? kAny : d.has("uni") ? kUni : kBallot;
  ins.execute = vote;
  return known;
}

// match.any: lanes with my value. match.all: all lanes if they agree, else none.
template <class T>
void match(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const bool all = ins.mode == kAll;
  bool agree = true;
  for_lanes(lanes, [&](int i) {
    LaneMask same = 0;
    for_lanes(lanes, [&](int j) {
      if (w.get<T>(ins.a, i) == w.get<T>(ins.a, j)) same |= LaneMask{1} << j;
    });
    agree = agree && same == lanes;
    if (!all) w.set<std::uint32_t>(ins.d, i, same);
  });
  if (!all) return;
  for_lanes(lanes, [&](int i) { w.set<std::uint32_t>(ins.d, i, agree ? lanes : 0); });
  w.set_predicate(ins.d2, agree ? kAllLanes : 0, lanes);
}

bool decode_match(Decoder& d, const Statement& s, Instruction& ins) {
  if (!d.has("sync")) return false;
  d.operands(3, 3);
  const Operand& to = s.operands[0];
  const bool pair = to.kind == Operand::Kind::kPair;
  ins.d = d.destination(pair ? to.parts[0] : to);
  if (pair) ins.d2 = d.destination(to.parts[1]);
  ins.a = d.source(s.operands[1], s.type());
  collective(d, ins, &s.operands[2]);
  if (!d.has("any") && !d.has("all")) return false;
  ins.mode = d.has("all") ? kAll : kAny;
  ins.execute = size_of(s.type()) == 8 ? match<std::uint64_t> : match<std::uint32_t>;
  return true;
}

template <class T, class F>
void redux(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const int first = std::countr_zero(lanes);
  T r = w.get<T>(ins.a, first);
  for_lanes(lanes & (lanes - 1), [&](int i) { r = F{}(r, w.get<T>(ins.a, i)); });
  for_lanes(lanes, [&](int i) { w.set<T>(ins.d, i, r); });
}

bool decode_redux(Decoder& d, const Statement& s, Instruction& ins) {
  if (!d.has("sync") || size_of(s.type()) != 4 || is_float(s.type())) return false;
  d.operands(3, 3);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], s.type());
  collective(d, ins, &s.operands[2]);
  using U = std::uint32_t;
  using S = std::int32_t;
  const bool sign = is_signed(s.type());
  if (d.has("add")) ins.execute = redux<U, Add>;
  if (d.has("min")) ins.execute = sign ? redux<S, Min> : redux<U, Min>;
  if (d.has("max")) ins.execute = sign ? redux<S, Max> : redux<U, Max>;
  if (d.has("and")) ins.execute = redux<U, And>;
  if (d.has("or")) ins.execute = redux<U, Or>;
  if (d.has("xor")) ins.execute = redux<U, Xor>;
  return ins.execute != nullptr;
}

void activemask(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) { w.set<std::uint32_t>(ins.d, i, lanes); });
}

bool decode_activemask(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kWarp;
  d.operands(1, 1);
  ins.d = d.destination(s.operands[0]);
  ins.execute = activemask;
  return true;
}

void elect(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const int leader = std::countr_zero(lanes);
  for_lanes(lanes,
            [&](int i) { w.set<std::uint32_t>(ins.d, i, static_cast<std::uint32_t>(leader)); });
  w.set_predicate(ins.d2, LaneMask{1} << leader, lanes);
}

bool decode_elect(Decoder& d, const Statement& s, Instruction& ins) {
  if (!d.has("sync")) return false;
  d.operands(2, 2);
  if (s.operands[0].kind != Operand::Kind::kPair) return false;
  ins.d = d.destination(s.operands[0].parts[0]);
  ins.d2 = d.destination(s.operands[0].parts[1]);
  collective(d, ins, &s.operands[1]);
  ins.execute = elect;
  return true;
}

}  // namespace

void add_warp_opcodes(OpcodeTable& t) {
  t["shfl"] = decode_shfl;
  t["vote"] = decode_vote;
  t["match"] = decode_match;
  t["redux"] = decode_redux;
  t["activemask"] = decode_activemask;
  t["elect"] = decode_elect;
}

}  // namespace flashbench::ptx

// Moves and addresses: PTX ISA 9.7.9. A move carries undefinedness along: compilers move registers
// around that no thread will look at.
#include <fmt/format.h>

#include "ptx/machine/cta.h"
#include "ptx/opcodes/lane_ops.h"

namespace flashbench::ptx {
namespace {

template <class T>
void mov(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  store_row(w, ins.d, load_row<T>(w, ins.a), lanes);
  LaneMask& defined = w.defined[row_index(ins.d)];
  defined = (defined & ~lanes) | (w.defined[row_index(ins.a)] & lanes);
}

void mov_predicate(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  w.set_predicate(ins.d, w.predicate(ins.a, ins.negate_a), lanes);
  LaneMask& defined = w.defined[row_index(ins.d)];
  defined = (defined & ~lanes) | (w.defined[row_index(ins.a)] & lanes);
}

std::uint64_t low_bits(int bytes) {
  return bytes == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * bytes)) - 1;
}

// mov.b64 d, {a, b}: the first is the lowest. size: bytes of a part.
void pack(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    std::uint64_t r = 0;
    for (std::size_t k = 0; k < ins.rows_a.size(); ++k) {
      const std::uint64_t part = w.get_wide(ins.rows_a[k], i, ins.widths[k]) & low_bits(ins.size);
      r |= part << (8 * ins.size * static_cast<int>(k));
    }
    w.set_wide(ins.d, i, ins.wide_d, r);
  });
  LaneMask known = kAllLanes;
  for (const Row row : ins.rows_a) known &= w.defined[row_index(row)];
  LaneMask& defined = w.defined[row_index(ins.d)];
  defined = (defined & ~lanes) | (known & lanes);
}

void unpack(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const LaneMask known = w.defined[row_index(ins.a)];
  for_lanes(lanes, [&](int i) {
    const std::uint64_t v = w.get_wide(ins.a, i, ins.wide_a);
    for (std::size_t k = 0; k < ins.rows_d.size(); ++k) {
      if (ins.rows_d[k] == kSink) continue;
      w.set_wide(ins.rows_d[k], i, ins.widths[k],
                 v >> (8 * ins.size * static_cast<int>(k)) & low_bits(ins.size));
    }
  });
  for (const Row row : ins.rows_d) {
    LaneMask& defined = w.defined[row_index(row)];
    defined = (defined & ~lanes) | (known & lanes);
  }
}

// Bytes of a part of a vector that makes up `bytes`.
std::uint8_t part_bytes(const Decoder& d, const Operand& vector, int bytes) {
  const int parts = static_cast<int>(vector.parts.size());
  if (parts == 0 || bytes % parts != 0) d.fail(fmt::format("{} bytes of {} parts", bytes, parts));
  return static_cast<std::uint8_t>(bytes / parts);
}

bool decode_mov(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kMove;
  ins.moves_only = true;
  d.operands(2, 2);
  const Operand &to = s.operands[0], &from = s.operands[1];
  const int bytes = size_of(s.type());
  if (s.type() == Type::kPred) {
    ins.d = d.destination(to);
    ins.a = d.source(from, Type::kPred);
    ins.negate_a = from.negated;
    ins.execute = mov_predicate;
    return true;
  }
  if (bytes == 0 || bytes > 8) return false;
  if (from.kind == Operand::Kind::kVector) {
    ins.d = d.destination(to);
    ins.size = part_bytes(d, from, bytes);
    ins.wide_d = bytes == 8 ? 8 : 4;
    ins.rows_a = d.sources(from, ins.size == 4 ? Type::kB32 : Type::kB16, &ins.widths);
    ins.execute = pack;
    return true;
  }
  if (to.kind == Operand::Kind::kVector) {
    ins.a = d.source(from, s.type());
    ins.wide_a = bytes == 8 ? 8 : 4;
    ins.size = part_bytes(d, to, bytes);
    ins.rows_d = d.destinations(to, &ins.widths);
    ins.execute = unpack;
    return true;
  }
  const int register_bytes = d.register_bytes(from);
  if (register_bytes != 0 && register_bytes != (bytes == 8 ? 8 : 4)) return false;
  ins.d = d.destination(to);
  ins.a = d.source(from, s.type());
  ins.execute = bytes == 8 ? mov<std::uint64_t> : mov<std::uint32_t>;
  return true;
}

// mode 1: from generic to a space.
void cvta(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  const std::uint64_t base = window(ins.space);
  for_lanes(lanes, [&](int i) {
    const std::uint64_t address = w.get_wide(ins.a, i, ins.wide_a);
    if (ins.mode == 1 && address >> kSpaceShift != base >> kSpaceShift && address != 0) {
      cta.report(FindingKind::kInvalid, {w, ins, i},
                 [&] { return fmt::format("{:#x} does not lie in that space", address); });
    }
    w.set_wide(ins.d, i, ins.wide_d, ins.mode == 1 ? address - base : address + base);
  });
}

bool decode_cvta(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  d.operands(2, 2);
  ins.mode = d.has("to") ? 1 : 0;
  ins.space = d.space();
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], s.type());
  ins.wide_d = ins.wide_a = size_of(s.type()) == 8 ? 8 : 4;
  ins.execute = cvta;
  return ins.space != Space::kGeneric;
}

// mapa: an address in the window of another CTA of the cluster (9.7.9.23). Clusters are of one CTA
// here, so that it stays what it is.
void mapa(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const auto rank = w.get<std::uint32_t>(ins.b, i);
    if (rank != 0)
      cta.fail(FindingKind::kInvalid, {w, ins, i},
               fmt::format("asks for CTA {} of a cluster of one", rank));
    w.set_wide(ins.d, i, ins.wide_d, w.get_wide(ins.a, i, ins.wide_a));
  });
}

bool decode_mapa(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  d.operands(3, 3);
  d.ignore({"shared::cluster"});
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], s.type());
  ins.b = d.source(s.operands[2], Type::kU32);
  ins.wide_d = ins.wide_a = size_of(s.type()) == 8 ? 8 : 4;
  ins.execute = mapa;
  return true;
}

void isspacep(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  LaneMask r = 0;
  for_lanes(lanes, [&](int i) {
    const std::uint64_t address = w.get_wide(ins.a, i, ins.wide_a);
    if (address >> kSpaceShift == window(ins.space) >> kSpaceShift) r |= LaneMask{1} << i;
  });
  w.set_predicate(ins.d, r, lanes);
}

bool decode_isspacep(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kCompare;
  d.operands(2, 2);
  ins.space = d.space();
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], Type::kB64);
  ins.wide_a = static_cast<std::uint8_t>(d.register_bytes(s.operands[1]));
  ins.execute = isspacep;
  return ins.space != Space::kGeneric && ins.wide_a != 0;
}

}  // namespace

void add_move_opcodes(OpcodeTable& t) {
  t["mov"] = decode_mov;
  t["cvta"] = decode_cvta;
  t["mapa"] = decode_mapa;
  t["isspacep"] = decode_isspacep;
}

}  // namespace flashbench::ptx

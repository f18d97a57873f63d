// cp.async: PTX ISA 9.7.9.25.3. The bytes arrive when they are waited for and not before, in
// random order; until then the destination counts as in flight.
#include <algorithm>

#include "ptx/machine/cta.h"
#include "ptx/opcodes/decoder.h"

namespace flashbench::ptx {
namespace {

// a + immediate: shared destination, b + immediate_b: global source, c: bytes of the source.
void cp_async(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  const std::uint32_t bytes = ins.n;
  for_lanes(lanes, [&](int i) {
    const Site at{w, ins, i};
    const std::uint64_t destination =
        w.get_wide(ins.a, i, ins.wide_a) + static_cast<std::uint64_t>(ins.immediate);
    const std::uint64_t from =
        w.get<std::uint64_t>(ins.b, i) + static_cast<std::uint64_t>(ins.immediate_b);
    const auto to = static_cast<std::uint32_t>(destination);
    std::uint32_t source_bytes = bytes;
    if (ins.mode == 1) source_bytes = w.get<std::uint32_t>(ins.c, i);
    if (ins.mode == 2 && (w.predicate(ins.c, ins.negate_c) >> i & 1) != 0) source_bytes = 0;
    if (source_bytes > bytes) {
      cta.fail(FindingKind::kInvalid, at,
               fmt::format("copies {} bytes of a source of {}", bytes, source_bytes));
    }
    if (to % bytes != 0 || (source_bytes > 0 && from % bytes != 0)) {
      cta.fail(FindingKind::kMisaligned, at,
               fmt::format("copies {} bytes from {:#x} to shared offset {}", bytes, from,
                           static_cast<std::int64_t>(to) - kSharedBase));
    }
    cta.shared_bytes(at, to, bytes);
    if (source_bytes > 0 && cta.launch().global.find(from, source_bytes) == nullptr) {
      cta.fail(FindingKind::kOutOfBounds, at,
               fmt::format("copies {} bytes of global memory at {}", source_bytes,
                           cta.launch().global.describe(from)));
    }
    cta.limit_in_flight(at, w.copies.size());
    cta.check_shared_write(at, to, bytes, nullptr, false);
    cta.shared().add_in_flight(to, bytes, 1);
    w.copies.push_back(
        {to, from, bytes, source_bytes, w.groups[static_cast<std::size_t>(i)], i, &ins});
  });
}

void commit_group(Cta&, Warp& w, const Instruction&, LaneMask lanes) {
  for_lanes(lanes, [&](int i) { ++w.groups[static_cast<std::size_t>(i)]; });
}

void wait_group(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  if (ins.mode == 1) commit_group(cta, w, ins, lanes);  // wait_all
  cta.complete_copies(w, lanes, static_cast<std::uint32_t>(ins.immediate));
}

bool decode_group(Decoder& d, const Statement& s, Instruction& ins) {
  if (d.has("commit_group")) {
    d.operands(0, 0);
    ins.execute = commit_group;
    return true;
  }
  ins.execute = wait_group;
  if (d.has("wait_all")) {
    d.operands(0, 0);
    ins.mode = 1;
    return true;
  }
  d.operands(1, 1);
  ins.immediate = d.integer(s.operands[0]);
  return d.has("wait_group");
}

bool decode_cp_async(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kAsyncCopy;
  if (s.has("bulk")) return decode_bulk(d, s, ins);
  if (!d.has("async") || s.has("mbarrier")) return false;
  if (!d.has("shared") && !d.has("shared::cta")) return decode_group(d, s, ins);
  if (!d.has("global")) return false;
  const bool all_levels = d.has("ca");
  if (all_levels == d.has("cg")) return false;
  for (const std::string& word : s.words) {
    if (word.starts_with("L2::")) d.has(word);
  }
  d.operands(3, 5);
  Instruction source;
  d.address(source, s.operands[1]);
  if (source.wide_a != 8) return false;
  d.address(ins, s.operands[0]);
  ins.b = source.a;
  ins.immediate_b = source.immediate;
  ins.n = static_cast<std::uint16_t>(d.integer(s.operands[2]));
  if (ins.n != 16 && (!all_levels || (ins.n != 4 && ins.n != 8))) return false;
  ins.execute = cp_async;
  if (s.operands.size() == 3) return true;
  // The fourth is the source's size, a predicate that ignores the source, or a cache policy.
  const Operand& o = s.operands[3];
  const bool policy = d.register_bytes(o) == 8;
  if (policy) return s.operands.size() == 4;
  const bool predicate = o.kind == Operand::Kind::kName && d.register_bytes(o) == 0;
  ins.c = d.source(o, predicate ? Type::kPred : Type::kU32);
  ins.negate_c = o.negated;
  ins.mode = predicate ? 2 : 1;
  return true;
}

}  // namespace

void add_async_copy_opcodes(OpcodeTable& t) { t["cp"] = decode_cp_async; }

}  // namespace flashbench::ptx

// wgmma: PTX ISA 9.7.15. A warp's part of a product is what it adds to its 16 rows. Issuing reads
// the operands' state and poisons the accumulators; the product is made when its group is waited
// for.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ptx/machine/cta.h"
#include "ptx/opcodes/decoder.h"
#include "ptx/opcodes/fragments.h"
#include "ptx/opcodes/matrix_descriptor.h"
#include "ptx/opcodes/number_formats.h"

namespace flashbench::ptx {
namespace {

constexpr std::uint32_t kPoison = 0x7FC0DEAD;  // a NaN
enum Transposed : std::uint8_t { kA = 1, kB = 2 };

Major major_of(const Instruction& ins, Transposed operand) {
  return (ins.mode & operand) != 0 ? Major::kRows : Major::kK;
}

MatrixDescriptor decode(Cta& cta, const Site& at, std::uint64_t bits) {
  const MatrixDescriptor d = decode_descriptor(bits);
  if (d.base_offset != 0) cta.fail(FindingKind::kInvalid, at, "a descriptor with a base offset");
  return d;
}

float value_of(std::uint16_t v, bool bf16) { return bf16 ? bf16_to_float(v) : f16_to_float(v); }

std::uint32_t first_row(const Warp& w) { return static_cast<std::uint32_t>(w.id % 4) * 16; }

// The accumulator of an instruction's registers; new ones are poisoned.
Accumulator& accumulator_of(Cta& cta, Warp& w, const Instruction& ins) {
  auto& slot = w.wgmma.accumulators[ins.rows_d[0]];
  if (slot != nullptr) {
    if (slot->rows != ins.rows_d)
      cta.fail(FindingKind::kWgmma, {w, ins, -1}, "overlaps another accumulator in flight");
    return *slot;
  }
  slot = std::make_unique<Accumulator>();
  slot->rows = ins.rows_d;
  for (const Row row : ins.rows_d) {
    for (int i = 0; i < kWarpSize; ++i) {
      slot->values.push_back(w.get<float>(row, i));
      w.set<std::uint32_t>(row, i, kPoison);
    }
    w.wgmma.in_flight[row_index(row)] = 1;
  }
  return *slot;
}

void check_fenced(Cta& cta, Warp& w, const Instruction& ins) {
  const auto dirty = [&](Row r) { return w.wgmma.dirty[row_index(r)] != 0; };
  if (w.wgmma.fenced && std::ranges::none_of(ins.rows_d, dirty) &&
      std::ranges::none_of(ins.rows_a, dirty))
    return;
  cta.report(FindingKind::kWgmma, {w, ins, -1}, [&] {
    return std::string(w.wgmma.fenced ? "its registers were written after the last wgmma.fence"
                                      : "no wgmma.fence before it");
  });
}

// a, b: descriptors (rows_a: A in registers instead), c: scale-d, n: columns, mode: transposed.
void mma_async(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  const Site at{w, ins, -1};
  if (lanes != kAllLanes) cta.fail(FindingKind::kWgmma, at, "not all lanes of the warp execute it");
  check_fenced(cta, w, ins);
  WgmmaOperation op{&ins,    0, w.get<std::uint64_t>(ins.b, 0), (w.predicate(ins.c) & 1) != 0,
                    nullptr, {}};
  const auto check = [&](std::uint32_t offset, std::uint32_t, std::uint32_t) {
    cta.shared_bytes(at, offset, 16);
    cta.check_async_read(at, offset, 16);
  };
  // Of a matrix of `all` rows this warp reads some.
  const auto look_at = [&](std::uint64_t bits, std::uint32_t all, std::uint32_t first,
                           std::uint32_t rows, Major major) {
    const MatrixDescriptor d = decode(cta, at, bits);
    if (auto why = misaligned(d, all, major))
      cta.report(FindingKind::kMisaligned, at, [&] { return *why; });
    for_chunks(d, first, rows, major, check);
  };
  if (ins.rows_a.empty()) {
    op.a_descriptor = w.get<std::uint64_t>(ins.a, 0);
    look_at(op.a_descriptor, 64, first_row(w), 16, major_of(ins, kA));
  }
  look_at(op.b_descriptor, ins.n, 0, ins.n, major_of(ins, kB));
  for (const Row row : ins.rows_a) {
    for (int i = 0; i < kWarpSize; ++i) op.a_registers.push_back(w.get<std::uint32_t>(row, i));
  }
  cta.limit_in_flight(at, w.wgmma.open.size());
  op.accumulator = &accumulator_of(cta, w, ins);
  ++op.accumulator->uses;
  w.wgmma.open.push_back(std::move(op));
}

void load_a(Cta& cta, Warp& w, const WgmmaOperation& op, float (&a)[16][16]) {
  const Instruction& ins = *op.ins;
  const bool bf16 = static_cast<Type>(ins.from) == Type::kBf16;
  for (std::size_t r = 0; r < ins.rows_a.size(); ++r) {
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const std::uint32_t v = op.a_registers[r * kWarpSize + static_cast<std::size_t>(lane)];
      for (int part = 0; part < 2; ++part) {
        const Element e = a_element(lane, static_cast<int>(r), part, 2);
        a[e.row][e.column] = value_of(static_cast<std::uint16_t>(v >> 16 * part), bf16);
      }
    }
  }
  if (!ins.rows_a.empty()) return;
  const bool transposed = (ins.mode & kA) != 0;
  const Site at{w, ins, -1};
  for_chunks(decode(cta, at, op.a_descriptor), first_row(w), 16, major_of(ins, kA),
             [&](std::uint32_t offset, std::uint32_t row, std::uint32_t k) {
               std::uint16_t chunk[8];
               std::memcpy(chunk, cta.shared_bytes(at, offset, 16), 16);
               cta.check_async_read(at, offset, 16);
               for (std::uint32_t e = 0; e < 8; ++e) {
                 a[(transposed ? row + e : row) - first_row(w)][transposed ? k : k + e] =
                     value_of(chunk[e], bf16);
               }
             });
}

void multiply(Cta& cta, Warp& w, const WgmmaOperation& op) {
  const Instruction& ins = *op.ins;
  const bool bf16 = static_cast<Type>(ins.from) == Type::kBf16, transposed = (ins.mode & kB) != 0;
  const Site at{w, ins, -1};
  float a[16][16];
  thread_local float b[256][16];
  load_a(cta, w, op, a);
  for_chunks(decode(cta, at, op.b_descriptor), 0, ins.n, major_of(ins, kB),
             [&](std::uint32_t offset, std::uint32_t row, std::uint32_t k) {
               std::uint16_t chunk[8];
               std::memcpy(chunk, cta.shared_bytes(at, offset, 16), 16);
               cta.check_async_read(at, offset, 16);
               for (std::uint32_t e = 0; e < 8; ++e)
                 b[transposed ? row + e : row][transposed ? k : k + e] = value_of(chunk[e], bf16);
             });
  for (std::size_t r = 0; r < ins.rows_d.size();
       ++r) {  // registers go right in groups of 8 columns
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const Element e = c_element(lane, static_cast<int>(r % 4));
      const float *row = a[e.row], *column = b[static_cast<int>(r / 4) * 8 + e.column];
      float& v = op.accumulator->values[r * kWarpSize + static_cast<std::size_t>(lane)];
      float sum = op.accumulate ? v : 0;
      for (int k = 0; k < 16; ++k) sum += row[k] * column[k];
      v = sum;
    }
  }
  cta.counters().matrix_flop += 2u * 16 * 16 * ins.n;
}

void finish(Cta& cta, Warp& w, WgmmaOperation& op) {
  multiply(cta, w, op);
  Accumulator& acc = *op.accumulator;
  if (--acc.uses != 0) return;
  for (std::size_t r = 0; r < acc.rows.size(); ++r) {
    for (int i = 0; i < kWarpSize; ++i)
      w.set<float>(acc.rows[r], i, acc.values[r * kWarpSize + static_cast<std::size_t>(i)]);
    w.wgmma.in_flight[row_index(acc.rows[r])] = 0;
  }
  w.wgmma.accumulators.erase(acc.rows[0]);
}

void fence(Cta&, Warp& w, const Instruction&, LaneMask) {
  w.wgmma.fenced = true;
  std::ranges::fill(w.wgmma.dirty, std::uint8_t{0});
}

void commit(Cta& cta, Warp& w, const Instruction& ins, LaneMask) {
  cta.limit_in_flight({w, ins, -1}, w.wgmma.groups.size());
  w.wgmma.groups.push_back(std::move(w.wgmma.open));
  w.wgmma.open.clear();
}

// The product is the warpgroup's: its four warps come to the wait, then it is complete for all.
void wait(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  w.wgmma.waiting = true;
  w.wgmma.groups_left = ins.immediate;
  w.runnable &= ~lanes;
  const auto group = cta.warpgroup(w);
  for (const Warp* other : group) {
    if (!other->wgmma.waiting) return;
    if (other->wgmma.groups_left != ins.immediate) {
      cta.fail(FindingKind::kWgmma, {w, ins, -1}, "warps of a warpgroup wait for different groups");
    }
  }
  Clock all{};
  for (Warp* member : group) {
    auto& groups = member->wgmma.groups;
    while (static_cast<std::int64_t>(groups.size()) > ins.immediate) {
      for (WgmmaOperation& op : groups.front()) finish(cta, *member, op);
      groups.erase(groups.begin());
    }
    join(all, member->clock);
  }
  for (Warp* member : group) {
    member->clock = all;
    ++member->clock[static_cast<std::size_t>(member->id)];
    member->wgmma.waiting = false;
    cta.wake(*member, member->alive);
  }
}

// N of m64nNk16, a multiple of 8 up to 256; 0 where there is none.
std::uint16_t columns(Decoder& d) {
  for (std::uint16_t n = 8; n <= 256; n += 8) {
    if (d.has(fmt::format("m64n{}k16", n))) return n;
  }
  return 0;
}

bool decode_mma_async(Decoder& d, const Statement& s, Instruction& ins) {
  const std::vector<Operand>& o = s.operands;
  const auto& t = s.types;
  ins.n = columns(d);
  if (ins.n == 0 || t.size() != 3 || t[0] != Type::kF32 || t[1] != t[2]) return false;
  if (t[1] != Type::kBf16 && t[1] != Type::kF16) return false;
  d.operands(7, 8);
  const bool registers = o[1].kind == Operand::Kind::kVector;
  if (d.integer(o[4]) != 1 || d.integer(o[5]) != 1) return false;  // negated operands
  ins.from = static_cast<std::uint8_t>(t[1]);
  ins.rows_d = d.destinations(o[0]);
  if (registers) {
    ins.rows_a = d.sources(o[1], Type::kB32);
    if (ins.rows_a.size() != 4) return false;
  } else {
    ins.a = d.source(o[1], Type::kB64);
  }
  ins.b = d.source(o[2], Type::kB64);
  ins.c = d.source(o[3], Type::kPred);
  const bool a = !registers && d.integer(o[6]) != 0, b = d.integer(o.back()) != 0;
  ins.mode = static_cast<std::uint8_t>((a ? kA : 0) | (b ? kB : 0));
  ins.execute = mma_async;
  return ins.rows_d.size() == ins.n / 2u && o.size() == (registers ? 7u : 8u);
}

bool decode_wgmma(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kMatrix;
  ins.control = Control::kCollective;
  if (!d.has("sync") || !d.has("aligned")) return false;
  d.uses_wgmma();
  if (d.has("mma_async")) return decode_mma_async(d, s, ins);
  if (d.has("fence")) ins.execute = fence;
  if (d.has("commit_group")) ins.execute = commit;
  if (d.has("wait_group")) {
    d.operands(1, 1);
    ins.immediate = d.integer(s.operands[0]);
    ins.blocks = true;
    ins.execute = wait;
  }
  return ins.execute != nullptr;
}

bool decode_setmaxnreg(Decoder& d, const Statement&, Instruction& ins) {
  ins.kind = InstructionClass::kControl;
  ins.control = Control::kCollective;
  d.operands(1, 1);
  ins.execute = nothing;
  return d.has("sync") && d.has("aligned") && (d.has("inc") || d.has("dec"));
}

}  // namespace

void add_wgmma_opcodes(OpcodeTable& t) {
  t["wgmma"] = decode_wgmma;
  t["setmaxnreg"] = decode_setmaxnreg;
}

}  // namespace flashbench::ptx

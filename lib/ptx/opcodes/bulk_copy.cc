// cp.async.bulk and cp.async.bulk.tensor (TMA): PTX ISA 9.7.9.25.4 and .5. Loads complete after a
// random delay in random order, stores when they are waited for.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "ptx/machine/cta.h"
#include "ptx/machine/tensor_map.h"
#include "ptx/opcodes/decoder.h"

namespace flashbench::ptx {
namespace {

using Coordinates = std::array<std::int32_t, 5>;

std::uint32_t box_bytes(const TensorMap& m) {
  std::uint64_t bytes = m.element_bytes;
  for (std::size_t i = 0; i < m.rank; ++i) bytes *= m.box[i];
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(bytes, std::numeric_limits<std::uint32_t>::max()));
}

// Calls f(shared offset, global address) for every element of a box; address 0: outside.
template <class F>
void for_box(const TensorMap& m, const Coordinates& start, std::uint32_t shared, F f) {
  const std::uint32_t elements = box_bytes(m) / m.element_bytes;
  for (std::uint32_t e = 0; e < elements; ++e) {
    std::uint32_t rest = e;
    std::uint64_t address = m.base;
    bool inside = true;
    for (std::size_t i = 0; i < m.rank; ++i) {
      const std::int64_t x = std::int64_t{start[i]} + rest % m.box[i];
      rest /= m.box[i];
      inside = inside && x >= 0 && x < m.size[i];
      address += static_cast<std::uint64_t>(x) * (i == 0 ? m.element_bytes : m.stride[i - 1]);
    }
    f(swizzled(shared + e * m.element_bytes, m.swizzle), inside ? address : 0);
  }
}

std::uint64_t address_of(const Warp& w, Row row, int wide, std::int64_t offset, int lane) {
  return w.get_wide(row, lane, wide) + static_cast<std::uint64_t>(offset);
}

TensorMap map_at(Cta& cta, const Site& at, std::uint64_t address, std::size_t rank,
                 std::uint32_t shared) {
  TensorMap m;
  std::memcpy(&m, cta.read(at, address, 128, Space::kGeneric), sizeof m);
  if (!is_tensor_map(m)) cta.fail(FindingKind::kInvalid, at, "the operand is no tensor map");
  if (m.rank != rank) {
    cta.fail(FindingKind::kInvalid, at,
             fmt::format("a tensor map of rank {} with {} coordinates", m.rank, rank));
  }
  const std::uint32_t align =
      m.swizzle == Swizzle::kNone ? 128 : 128u << static_cast<int>(m.swizzle);
  if (shared % align != 0) {
    cta.fail(FindingKind::kMisaligned, at,
             fmt::format("a box at shared offset {} must be aligned to {} bytes",
                         static_cast<std::int64_t>(shared) - kSharedBase, align));
  }
  return m;
}

// A load of `bytes` to `shared` that `move` makes later, counted at the mbarrier at `barrier`.
void start_load(Cta& cta, const Site& at, std::uint32_t shared, std::uint32_t bytes,
                std::uint32_t barrier, std::function<void()> move) {
  cta.mbarrier(at, barrier);
  if (!cta.visible_to_async(at.warp, cta.shared().words[barrier / 4])) {
    cta.report(FindingKind::kProxy, at, [] {
      return std::string(
          "uses an mbarrier that no fence.mbarrier_init or fence.proxy.async made visible");
    });
  }
  cta.shared_bytes(at, shared, bytes);
  cta.check_shared_write({at.warp, at.ins, -1}, shared, bytes, nullptr, false);
  cta.shared().add_in_flight(shared, bytes, 1);
  cta.limit_in_flight(at, cta.pending_loads());
  const Clock issued = at.warp.clock;
  ++at.warp.clock[static_cast<std::size_t>(at.warp.id)];
  Warp* w = &at.warp;
  const Instruction* ins = &at.ins;
  const int lane = at.lane;
  cta.add_pending_load([=, &cta, move = std::move(move)] {
    const Site site{*w, *ins, lane};
    cta.shared().add_in_flight(shared, bytes, -1);
    move();
    MBarrier& b = cta.mbarrier(site, barrier);
    join(b.clock, issued);
    ++b.clock[b.agent];
    cta.mark_async_write(shared, bytes, b, ins->line);
    b.bytes -= bytes;
    cta.counters().shared_written_bytes += bytes;
    cta.end_phase(barrier);
  });
}

// a + immediate: the map, b: shared address, c: mbarrier, rows_a: coordinates.
void load_tensor(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const Site at{w, ins, i};
    const auto shared = static_cast<std::uint32_t>(w.get_wide(ins.b, i, ins.widths[0]) +
                                                   static_cast<std::uint64_t>(ins.immediate_b));
    const auto barrier = static_cast<std::uint32_t>(w.get_wide(ins.c, i, ins.widths[1]));
    const TensorMap m = map_at(cta, at, address_of(w, ins.a, ins.wide_a, ins.immediate, i),
                               ins.rows_a.size(), shared);
    Coordinates start{};
    for (std::size_t k = 0; k < ins.rows_a.size(); ++k)
      start[k] = w.get<std::int32_t>(ins.rows_a[k], i);
    start_load(cta, at, shared, box_bytes(m), barrier, [=, &cta, &w, &ins] {
      const Site site{w, ins, i};
      for_box(m, start, shared, [&](std::uint32_t to, std::uint64_t from) {
        std::uint8_t* p = cta.shared_bytes(site, to, m.element_bytes);
        if (from == 0) {
          std::memset(p, 0, m.element_bytes);
        } else {
          std::memcpy(p, cta.read(site, from, m.element_bytes, Space::kGlobal), m.element_bytes);
        }
      });
    });
  });
}

// a + immediate: global address, b: shared address, c: mbarrier, rows_a[0]: bytes.
void load_bulk(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const Site at{w, ins, i};
    const auto shared = static_cast<std::uint32_t>(w.get_wide(ins.b, i, ins.widths[0]) +
                                                   static_cast<std::uint64_t>(ins.immediate_b));
    const auto barrier = static_cast<std::uint32_t>(w.get_wide(ins.c, i, ins.widths[1]));
    const auto bytes = w.get<std::uint32_t>(ins.rows_a[0], i);
    const std::uint64_t from = address_of(w, ins.a, ins.wide_a, ins.immediate, i);
    if (((shared | bytes | from) & 15) != 0)
      cta.fail(FindingKind::kMisaligned, at, "a bulk copy needs multiples of 16");
    start_load(cta, at, shared, bytes, barrier, [=, &cta, &w, &ins] {
      const Site site{w, ins, i};
      for (std::uint32_t x = 0; x < bytes; x += 16) {
        std::memcpy(cta.shared_bytes(site, shared + x, 16),
                    cta.read(site, from + x, 16, Space::kGlobal), 16);
      }
    });
  });
}

// An element or chunk of a store; mode 1: adds f32.
void store_part(Cta& cta, const Site& at, std::uint32_t from, std::uint64_t to,
                std::uint32_t bytes) {
  if (to == 0) return;
  const std::uint8_t* source = cta.shared_bytes(at, from, bytes);
  cta.check_async_read(at, from, bytes);
  if (at.ins.mode == 0) return cta.write(at, to, bytes, Space::kGlobal, source);
  float sum, addend;
  std::uint8_t* p = cta.atomic(at, to, 4, Space::kGlobal);
  std::memcpy(&sum, p, 4);
  std::memcpy(&addend, source, 4);
  sum += addend;
  std::memcpy(p, &sum, 4);
}

// a + immediate: map or global address, b: shared address, rows_a: coordinates or (n = 1) bytes.
void store_bulk(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const Site at{w, ins, i};
    const auto shared = static_cast<std::uint32_t>(w.get_wide(ins.b, i, ins.widths[0]) +
                                                   static_cast<std::uint64_t>(ins.immediate_b));
    const std::uint64_t address = address_of(w, ins.a, ins.wide_a, ins.immediate, i);
    std::function<void()> run;
    std::uint32_t bytes = 0;
    if (ins.n == 1) {
      bytes = w.get<std::uint32_t>(ins.rows_a[0], i);
      if (((shared | bytes | address) & 15) != 0)
        cta.fail(FindingKind::kMisaligned, at, "a bulk copy needs multiples of 16");
      cta.shared_bytes(at, shared, bytes);
      cta.check_async_read(at, shared, bytes);
      run = [=, &cta, &w, &ins] {
        for (std::uint32_t x = 0; x < bytes; x += 4)
          store_part(cta, {w, ins, i}, shared + x, address + x, 4);
      };
    } else {
      const TensorMap m = map_at(cta, at, address, ins.rows_a.size(), shared);
      Coordinates start{};
      for (std::size_t k = 0; k < ins.rows_a.size(); ++k)
        start[k] = w.get<std::int32_t>(ins.rows_a[k], i);
      if (ins.mode == 1 && !m.is_f32)
        cta.fail(FindingKind::kInvalid, at,
                 "a reduction into a tensor map of other elements than f32, which alone is added");
      bytes = box_bytes(m);
      cta.shared_bytes(at, shared, bytes);
      cta.check_async_read(at, shared, bytes);
      run = [=, &cta, &w, &ins] {
        for_box(m, start, shared, [&](std::uint32_t from, std::uint64_t to) {
          store_part(cta, {w, ins, i}, from, to, m.element_bytes);
        });
      };
    }
    cta.limit_in_flight(at, w.stores.size());
    cta.shared().add_leaving(shared, bytes, 1);
    w.stores.push_back({i, w.store_groups[static_cast<std::size_t>(i)],
                        [=, &cta, run = std::move(run)] {
                          run();
                          cta.shared().add_leaving(shared, bytes, -1);
                        },
                        &ins});
  });
}

void commit_group(Cta&, Warp& w, const Instruction&, LaneMask lanes) {
  for_lanes(lanes, [&](int i) { ++w.store_groups[static_cast<std::size_t>(i)]; });
}

void wait_group(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const auto due = [&](const BulkStore& s) {
    const std::uint32_t committed = w.store_groups[static_cast<std::size_t>(s.lane)];
    return (lanes >> s.lane & 1) != 0 && s.group < committed &&
           committed - s.group > static_cast<std::uint32_t>(ins.immediate);
  };
  for (const BulkStore& s : w.stores) {
    if (due(s)) s.run();
  }
  std::erase_if(w.stores, due);
}

// [shared], with an offset.
bool shared_operand(Decoder& d, Instruction& ins, const Operand& o) {
  Instruction source;
  d.address(source, o);
  ins.b = source.a;
  ins.immediate_b = source.immediate;
  ins.widths.push_back(source.wide_a);
  return true;
}

bool decode_group(Decoder& d, const Statement& s, Instruction& ins) {
  if (d.has("commit_group")) {
    d.operands(0, 0);
    ins.execute = commit_group;
    return true;
  }
  if (!d.has("wait_group")) return false;
  d.has("read");
  d.operands(1, 1);
  ins.immediate = d.integer(s.operands[0]);
  ins.execute = wait_group;
  return true;
}

}  // namespace

bool decode_bulk(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kAsyncCopy;
  d.ignore({"async", "bulk", "bulk_group", "tile", "L2::cache_hint", "mbarrier::complete_tx::bytes",
            "1d", "2d", "3d", "4d", "5d"});
  if (s.has("shared::cluster") && s.has("shared::cta")) return false;  // to another CTA
  const std::vector<Operand>& o = s.operands;
  const bool tensor = d.has("tensor"), reduce = d.has("reduce");
  if (s.has("prefetch")) {
    d.ignore({"prefetch", "L2", "global"});
    ins.execute = nothing;
    return true;
  }
  if (o.size() < 2) return decode_group(d, s, ins);
  const bool to_shared =
      s.words.size() > 0 &&
      (s.has("shared::cluster") || (s.has("shared::cta") && s.has("mbarrier::complete_tx::bytes")));
  d.ignore({"shared::cluster", "shared::cta", "global"});
  if (to_shared) {
    if (reduce) return false;
    d.operands(tensor ? 3 : 4, 5);
    shared_operand(d, ins, o[0]);
    d.address(ins, o[1]);
    if (tensor && o[1].parts.size() != 2) return false;
    ins.rows_a = tensor ? d.sources(o[1].parts[1], Type::kS32)
                        : std::vector<Row>{d.source(o[2], Type::kU32)};
    Instruction barrier;
    d.address(barrier, o[tensor ? 2 : 3]);
    if (barrier.immediate != 0) return false;
    ins.c = barrier.a;
    ins.widths.push_back(barrier.wide_a);
    ins.execute = tensor ? load_tensor : load_bulk;
    return true;
  }
  d.operands(tensor ? 2 : 3, 4);
  if (reduce && (!d.has("add") || (!tensor && s.type() != Type::kF32))) return false;
  ins.mode = reduce ? 1 : 0;
  d.address(ins, o[0]);
  shared_operand(d, ins, o[1]);
  if (tensor && o[0].parts.size() != 2) return false;
  ins.n = tensor ? 0 : 1;
  ins.rows_a =
      tensor ? d.sources(o[0].parts[1], Type::kS32) : std::vector<Row>{d.source(o[2], Type::kU32)};
  ins.execute = store_bulk;
  return true;
}

}  // namespace flashbench::ptx

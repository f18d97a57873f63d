// Which lanes run next. Lanes of a warp that stand at the same instruction run together; of
// diverged groups the one that is furthest behind goes first, which makes branches reconverge
// where the code does.
#include <algorithm>
#include <climits>
#include <cstring>

#include "ptx/machine/cta.h"

namespace flashbench::ptx {
namespace {

/// Arguments of functions lie in one place each, so that none can call itself anyway.
constexpr std::size_t kMostCalls = 1000;

void set_pc(Warp& w, LaneMask lanes, int pc) {
  for_lanes(lanes, [&](int i) { w.pc[static_cast<std::size_t>(i)] = pc; });
}

}  // namespace

void Cta::run_slice(Warp& w) {
  auto budget = static_cast<std::int64_t>(launch_.options.slice_instructions);
  const std::int64_t start = budget;
  while (w.runnable != 0 && budget > 0) run_group(w, pick_group(w), budget);
  // A group that spins until diverged lanes of its warp write something would run forever: in the
  // next slice another group goes first.
  w.rotate = budget > 0 ? 0 : 1 + static_cast<std::uint32_t>(random_() % 7);
  launch_.counters.warp_instructions += static_cast<std::uint64_t>(start - budget);
  const std::uint64_t limit = launch_.options.max_warp_instructions;
  if (limit != 0 && launch_.counters.warp_instructions > limit) {
    const Instruction nowhere;
    const auto lane = static_cast<std::size_t>(std::countr_zero(w.alive));
    const Instruction& at =
        w.alive == 0 ? nowhere : kernel_.code[static_cast<std::size_t>(w.pc[lane])];
    fail(FindingKind::kLivelock, {w, at},
         fmt::format("the limit of {} warp instructions is reached: {}", limit, who_waits_where()));
  }
}

Cta::Group Cta::pick_group(Warp& w) const {
  std::array<int, kWarpSize> distinct{};
  std::size_t count = 0;
  int lowest = INT_MAX;
  for_lanes(w.runnable, [&](int i) {
    const int pc = w.pc[static_cast<std::size_t>(i)];
    lowest = std::min(lowest, pc);
    if (w.rotate != 0 &&
        std::find(distinct.begin(), distinct.begin() + count, pc) == distinct.begin() + count) {
      distinct[count++] = pc;
    }
  });
  if (w.rotate != 0 && count > 1) {
    std::sort(distinct.begin(), distinct.begin() + count);
    lowest = distinct[w.rotate % count];
    w.rotate = 0;
  }
  Group g{0, lowest, INT_MAX};
  for_lanes(w.runnable, [&](int i) {
    const int pc = w.pc[static_cast<std::size_t>(i)];
    if (pc == g.pc) {
      g.lanes |= LaneMask{1} << i;
    } else if (pc > g.pc) {
      g.meets = std::min(g.meets, pc);
    }
  });
  return g;
}

void Cta::run_group(Warp& w, Group g, std::int64_t& budget) {
  const Instruction* code = kernel_.code.data();
  for (;;) {
    const Instruction& ins = code[g.pc];
    LaneMask lanes = g.lanes;
    if (ins.guarded) {
      if ((w.defined[row_index(ins.guard)] & lanes) != lanes) check_defined(w, ins, lanes);
      lanes &= w.predicate(ins.guard, ins.guard_negated);
    }
    --budget;
    const auto at = static_cast<std::size_t>(g.pc);
    ++launch_.warp_counts[at];
    launch_.lane_counts[at] += static_cast<std::uint64_t>(std::popcount(lanes));
    if (lanes == 0) {
      ++g.pc;
    } else {
      switch (ins.control) {
        case Control::kPlain:
          if (!plain(w, ins, g, lanes)) return;
          break;
        case Control::kBranch:
          if (!branch(w, ins, g, lanes, budget)) return;
          break;
        case Control::kCollective:
          if (!collective(w, ins, g, lanes)) return;
          break;
        case Control::kIndexedBranch:
          return indexed_branch(w, ins, g, lanes);
        case Control::kExit:
          return exit(w, ins, g, lanes);
        case Control::kCall:
          return call(w, ins, g, lanes);
        case Control::kReturn:
          return leave(w, g, lanes);
      }
    }
    if (g.pc >= g.meets || budget <= 0) return set_pc(w, g.lanes, g.pc);
  }
}

void Cta::check_defined(Warp& w, const Instruction& ins, LaneMask lanes) {
  LaneMask missing = 0;
  for (const std::uint32_t r : ins.reads) missing |= lanes & ~w.defined[r];
  if (ins.guarded) missing |= lanes & ~w.defined[row_index(ins.guard)];
  if (missing == 0) return;
  report(FindingKind::kUninitialised, {w, ins, std::countr_zero(missing)},
         [] { return std::string("reads a register that nothing has written"); });
}

// Between wgmma and its wait nothing else may touch the accumulators.
void Cta::check_in_flight(Warp& w, const Instruction& ins) {
  const bool is_wgmma = ins.kind == InstructionClass::kMatrix;
  const auto touched = [&](std::uint32_t r) { return w.wgmma.in_flight[r] != 0; };
  const bool reads = std::ranges::any_of(ins.reads, touched);
  if (reads || (!is_wgmma && std::ranges::any_of(ins.writes, touched))) {
    report(FindingKind::kWgmma, {w, ins},
           [] { return std::string("touches an accumulator of a wgmma that is still in flight"); });
  }
  if (is_wgmma) return;
  for (const std::uint32_t r : ins.writes) w.wgmma.dirty[r] = 1;
}

void Cta::execute(Warp& w, const Instruction& ins, LaneMask lanes) {
  if (kernel_.uses_wgmma) check_in_flight(w, ins);
  if (ins.moves_only) {  // its handler carries definedness along
    ins.execute(*this, w, ins, lanes);
    return;
  }
  LaneMask defined = kAllLanes;
  for (const std::uint32_t r : ins.reads) defined &= w.defined[r];
  if ((defined & lanes) != lanes) check_defined(w, ins, lanes);
  ins.execute(*this, w, ins, lanes);
  for (const std::uint32_t r : ins.writes) w.defined[r] |= lanes;
}

bool Cta::plain(Warp& w, const Instruction& ins, Group& g, LaneMask lanes) {
  if (!ins.retries) {
    execute(w, ins, lanes);
    ++g.pc;
    return true;
  }
  // Lanes that it blocks stay here and try again when they are woken.
  set_pc(w, g.lanes, g.pc + 1);
  set_pc(w, lanes, g.pc);
  execute(w, ins, lanes);
  set_pc(w, lanes & w.runnable, g.pc + 1);
  return false;
}

bool Cta::branch(Warp& w, const Instruction& ins, Group& g, LaneMask lanes, std::int64_t budget) {
  if (lanes != g.lanes) {
    set_pc(w, lanes, ins.target);
    set_pc(w, g.lanes & ~lanes, g.pc + 1);
    return false;
  }
  const bool back = ins.target < g.pc;
  g.pc = ins.target;
  if (budget > 0 && !(back && g.lanes != w.runnable)) return true;
  set_pc(w, g.lanes, g.pc);  // diverged lanes may wait at the head of the loop: reconverge
  return false;
}

void Cta::indexed_branch(Warp& w, const Instruction& ins, const Group& g, LaneMask lanes) {
  set_pc(w, g.lanes & ~lanes, g.pc + 1);
  for_lanes(lanes, [&](int i) {
    const auto index = w.get<std::uint32_t>(ins.a, i);
    if (index >= ins.targets.size()) {
      fail(FindingKind::kInvalid, {w, ins, i},
           fmt::format("index {} of a branch with {} targets", index, ins.targets.size()));
    }
    w.pc[static_cast<std::size_t>(i)] = ins.targets[index];
  });
}

bool Cta::collective(Warp& w, const Instruction& ins, Group& g, LaneMask lanes) {
  LaneMask members = w.alive;
  LaneMask here = lanes;
  if (ins.has_members) {  // lanes with different member masks can meet at one instruction
    const Site at{w, ins, std::countr_zero(lanes)};
    members = w.get<LaneMask>(ins.members, at.lane);
    here = 0;
    for_lanes(lanes, [&](int i) {
      if (w.get<LaneMask>(ins.members, i) == members) here |= LaneMask{1} << i;
    });
    if ((members & ~w.alive) != 0) {
      fail(FindingKind::kInvalid, at,
           fmt::format("member mask {:08x} names lanes that have exited or do not exist (live: "
                       "{:08x})",
                       members, w.alive));
    }
    if ((here & ~members) != 0) {
      fail(FindingKind::kInvalid, at,
           fmt::format("lanes {:08x} execute it, but its member mask is {:08x}", here, members));
    }
  }
  if (here == members && here == g.lanes && !ins.blocks) {
    execute(w, ins, here);
    ++g.pc;
    return true;
  }
  const int pc = g.pc;
  set_pc(w, g.lanes & ~lanes, pc + 1);
  set_pc(w, lanes, pc);
  // Members that arrived earlier. Diverged lanes may meet at different bar.warp.sync instructions.
  LaneMask arrived = here;
  for_lanes(w.collecting & members, [&](int i) {
    const int other = w.pc[static_cast<std::size_t>(i)];
    const Instruction& theirs = kernel_.code[static_cast<std::size_t>(other)];
    if (other == pc || (ins.mode == kWarpSyncMode && ins.execute == theirs.execute)) {
      arrived |= LaneMask{1} << i;
    }
  });
  if (arrived != members) {
    w.collecting |= here;
    w.runnable &= ~here;
    return false;
  }
  w.collecting &= ~arrived;
  w.runnable |= arrived;
  for_lanes(arrived, [&](int i) { ++w.pc[static_cast<std::size_t>(i)]; });
  ++progress_;
  execute(w, ins, arrived);
  return false;
}

void Cta::exit(Warp& w, const Instruction& ins, const Group& g, LaneMask lanes) {
  set_pc(w, g.lanes & ~lanes, g.pc + 1);
  check_unfinished_copies(w, ins, lanes);
  w.runnable &= ~lanes;
  w.alive &= ~lanes;
  live_ -= static_cast<std::uint32_t>(std::popcount(lanes));
  ++progress_;
  // Threads that have exited no longer count for barriers over the whole CTA.
  for (Barrier& b : barriers_) {
    if (!b.all || b.arrived == 0) continue;
    b.expected = live_;
    if (b.arrived == live_) complete(b);
  }
  // Lanes that wait for all live lanes of the warp now wait for fewer: wake them to look again.
  for_lanes(w.collecting, [&](int i) {
    const Instruction& theirs =
        kernel_.code[static_cast<std::size_t>(w.pc[static_cast<std::size_t>(i)])];
    if (theirs.has_members) return;
    w.collecting &= ~(LaneMask{1} << i);
    w.runnable |= LaneMask{1} << i;
  });
}

void Cta::call(Warp& w, const Instruction& ins, const Group& g, LaneMask lanes) {
  set_pc(w, g.lanes & ~lanes, g.pc + 1);
  set_pc(w, lanes, ins.target);
  for_lanes(lanes, [&](int i) {
    auto& calls = w.calls[static_cast<std::size_t>(i)];
    if (calls.size() == kMostCalls)
      fail(FindingKind::kInvalid, {w, ins, i},
           fmt::format("calls nest deeper than {}: there are no stacks here", kMostCalls));
    calls.push_back(g.pc);
    std::uint8_t* space = w.call_space.data() + static_cast<std::size_t>(i) * kernel_.call_bytes;
    for (const ArgumentCopy& c : ins.arguments) std::memcpy(space + c.to, space + c.from, c.bytes);
  });
}

void Cta::leave(Warp& w, const Group& g, LaneMask lanes) {
  set_pc(w, g.lanes & ~lanes, g.pc + 1);
  for_lanes(lanes, [&](int i) {
    auto& calls = w.calls[static_cast<std::size_t>(i)];
    const int from = calls.back();
    calls.pop_back();
    const Instruction& ins = kernel_.code[static_cast<std::size_t>(from)];
    std::uint8_t* space = w.call_space.data() + static_cast<std::size_t>(i) * kernel_.call_bytes;
    for (const ArgumentCopy& c : ins.results) std::memcpy(space + c.to, space + c.from, c.bytes);
    w.pc[static_cast<std::size_t>(i)] = from + 1;
  });
}

}  // namespace flashbench::ptx

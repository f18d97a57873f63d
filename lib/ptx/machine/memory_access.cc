// Accesses to global, local and parameter memory: bounds, alignment, initialisation, and races
// between CTAs. Shared memory's checks are in shared_memory.cc.
#include <algorithm>
#include <bit>
#include <cstring>

#include "core/enumerators.h"
#include "ptx/machine/cta.h"

namespace flashbench::ptx {
namespace {

Space resolve(std::uint64_t& address, Space space) {
  if (space != Space::kGeneric) return space;
  const auto top = address >> kSpaceShift;
  if (top == 0 || top > 3) return Space::kGlobal;
  address &= 0xFFFF'FFFF;
  return top == 1 ? Space::kShared : top == 2 ? Space::kLocal : Space::kParam;
}

const char* verb(Access a) {
  return a == Access::kRead ? "reads" : a == Access::kWrite ? "writes" : "atomically updates";
}

const char* space_name(Space s) {
  return s == Space::kShared  ? "shared"
         : s == Space::kLocal ? "local"
         : s == Space::kParam ? "parameter"
                              : "global";
}

}  // namespace

const std::uint8_t* Cta::read(const Site& at, std::uint64_t address, std::uint32_t bytes,
                              Space space) {
  space = resolve(address, space);
  if (address % std::bit_floor(bytes) != 0) {
    fail(FindingKind::kMisaligned, at,
         fmt::format("reads {} bytes at {} address {:#x}", bytes, space_name(space), address));
  }
  switch (space) {
    case Space::kShared: {
      const auto offset = static_cast<std::uint32_t>(address);
      const std::uint8_t* p = shared_bytes(at, offset, bytes);
      check_shared_read(at, offset, bytes, at.ins.strong);
      counters().shared_read_bytes += bytes;
      return p;
    }
    case Space::kLocal:
      counters().local_read_bytes += bytes;
      return local_bytes(at, address, bytes, Access::kRead);
    case Space::kParam:
      return param_bytes(at, address, bytes, Access::kRead);
    case Space::kGlobal:
    case Space::kGeneric:  // resolved above
      counters().global_read_bytes += bytes;
      return checked_global(at, address, bytes, Access::kRead);
  }
  no_such_enumerator();
}

void Cta::write(const Site& at, std::uint64_t address, std::uint32_t bytes, Space space,
                const void* from) {
  space = resolve(address, space);
  if (address % std::bit_floor(bytes) != 0) {
    fail(FindingKind::kMisaligned, at,
         fmt::format("writes {} bytes at {} address {:#x}", bytes, space_name(space), address));
  }
  switch (space) {
    case Space::kShared: {
      const auto offset = static_cast<std::uint32_t>(address);
      std::uint8_t* p = shared_bytes(at, offset, bytes);
      check_shared_write(at, offset, bytes, from, at.ins.strong);
      mark_shared_write(at, offset, bytes, at.ins.strong);
      std::memcpy(p, from, bytes);
      counters().shared_written_bytes += bytes;
      return;
    }
    case Space::kLocal:
      counters().local_written_bytes += bytes;
      std::memcpy(local_bytes(at, address, bytes, Access::kWrite), from, bytes);
      return;
    case Space::kParam:
      std::memcpy(param_bytes(at, address, bytes, Access::kWrite), from, bytes);
      return;
    case Space::kGlobal:
    case Space::kGeneric:  // resolved above
      counters().global_written_bytes += bytes;
      std::memcpy(checked_global(at, address, bytes, Access::kWrite), from, bytes);
  }
}

std::uint8_t* Cta::atomic(const Site& at, std::uint64_t address, std::uint32_t bytes, Space space) {
  space = resolve(address, space);
  if (address % std::bit_floor(bytes) != 0) {
    fail(FindingKind::kMisaligned, at,
         fmt::format("atomically updates {} bytes at {} address {:#x}", bytes, space_name(space),
                     address));
  }
  if (space == Space::kShared) {
    const auto offset = static_cast<std::uint32_t>(address);
    std::uint8_t* p = shared_bytes(at, offset, bytes);
    check_shared_read(at, offset, bytes, true);
    check_shared_write(at, offset, bytes, nullptr, true);
    mark_shared_write(at, offset, bytes, true);
    counters().shared_read_bytes += bytes;
    counters().shared_written_bytes += bytes;
    return p;
  }
  if (space != Space::kGlobal) {
    fail(FindingKind::kInvalid, at, fmt::format("atomic on {} memory", space_name(space)));
  }
  counters().global_read_bytes += bytes;
  counters().global_written_bytes += bytes;
  return checked_global(at, address, bytes, Access::kAtomic);
}

std::uint8_t* Cta::checked_global(const Site& at, std::uint64_t address, std::uint32_t bytes,
                                  Access access) {
  Allocation* a = launch_.global.find(address, bytes);
  if (a == nullptr) {
    fail(FindingKind::kOutOfBounds, at,
         fmt::format("{} {} bytes of global memory at {}", verb(access), bytes,
                     launch_.global.describe(address)));
  }
  const std::size_t offset = address - a->base;
  std::uint8_t* flags = a->written.data() + offset;
  if (access != Access::kWrite && std::memchr(flags, 0, bytes) != nullptr) {
    report(FindingKind::kUninitialised, at, [&] {
      return fmt::format("{} {}, which nothing has written", verb(access), a->place(offset));
    });
    a->show_unwritten(offset, bytes);
  }
  if (access != Access::kRead) std::memset(flags, 1, bytes);
  const Access effective = at.ins.strong ? Access::kAtomic : access;
  if (launch_.options.detect_races) {
    if (effective == Access::kAtomic) synchronise(at.ins, address, access);
    if (a->words.empty()) a->words = LazyZeros<GlobalWord>(a->size / 4 + 1);
    for (std::size_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
      check_global_word(at, *a, word, byte_mask(word, offset, bytes),
                        at.ins.strong && access == Access::kRead ? Access::kRead : effective);
    }
  }
  return a->data.data() + offset;
}

// Between CTAs, only atomics and other strong accesses may meet at a word, unless what a release
// published and an acquire saw orders them.
void Cta::check_global_word(const Site& at, Allocation& a, std::size_t word, std::uint8_t bytes,
                            Access access) {
  GlobalWord& g = a.words[word];
  const std::size_t first = word * 4 + static_cast<std::size_t>(std::countr_zero(bytes));
  const bool strong = access == Access::kAtomic || at.ins.strong;
  const bool foreign_write = g.writer >= launch_.first_cta && g.writer != number_ &&
                             (g.written_bytes & bytes) != 0 && !(strong && g.atomic);
  if (foreign_write && !saw(g.writer, g.writer_epoch)) {
    report(FindingKind::kRace, at, [&] {
      return fmt::format("{} {}, which CTA number {} of this launch {} without order", verb(access),
                         a.place(first), g.writer - launch_.first_cta,
                         g.atomic ? "atomically updates" : "writes");
    });
  }
  if (access == Access::kRead) {
    if (!strong && g.reader != number_) {
      g.many_readers = g.reader >= launch_.first_cta;
      g.reader = number_;
    }
    return;
  }
  // The epoch of a read is not recorded: a CTA that acquired anything in this launch is trusted.
  const bool foreign_read =
      g.reader >= launch_.first_cta && (g.many_readers || g.reader != number_);
  if (foreign_read && seen_.empty() && bytes == 0xF) {
    report(FindingKind::kRace, at, [&] {
      return fmt::format("{} {}, which another CTA of this launch reads without order",
                         verb(access), a.place(first));
    });
  }
  g.written_bytes = g.writer == number_ && g.writer_epoch == epoch_
                        ? static_cast<std::uint8_t>(g.written_bytes | bytes)
                        : bytes;
  g.writer = number_;
  g.writer_epoch = epoch_;
  g.atomic = access == Access::kAtomic;
}

bool Cta::saw(std::uint32_t cta, std::uint32_t epoch) const {
  const auto it = seen_.find(cta);
  return it != seen_.end() && it->second >= epoch;
}

void Cta::synchronise(const Instruction& ins, std::uint64_t address, Access access) {
  auto& published = launch_.global.published;
  if (access != Access::kRead) {
    if (ins.release) {
      CtaClock& clock = published[address];
      join(clock, seen_);
      clock[number_] = epoch_++;
    } else if (!fenced_.empty()) {
      join(published[address], fenced_);
    }
  }
  if (access == Access::kWrite || published.empty()) return;
  const auto it = published.find(address);
  if (it == published.end()) return;
  join(ins.acquire ? seen_ : pending_, it->second);
}

void Cta::memory_fence() {
  join(seen_, pending_);
  pending_.clear();
  fenced_ = seen_;
  fenced_[number_] = epoch_++;
}

std::uint8_t* Cta::local_bytes(const Site& at, std::uint64_t address, std::uint32_t bytes,
                               Access access) {
  const std::uint32_t size = kernel_.local_bytes;
  if (address > size || bytes > size - address) {
    fail(FindingKind::kOutOfBounds, at,
         fmt::format("{} {} bytes at offset {} of {} bytes of local memory", verb(access), bytes,
                     address, size));
  }
  const std::size_t offset = static_cast<std::size_t>(at.lane) * size + address;
  std::uint8_t* flags = at.warp.local_written.data() + offset;
  if (access == Access::kRead && std::memchr(flags, 0, bytes) != nullptr) {
    report(FindingKind::kUninitialised, at, [&] {
      return fmt::format("reads offset {} of local memory, which nothing has written", address);
    });
  }
  if (access == Access::kWrite) std::memset(flags, 1, bytes);
  return at.warp.local.data() + offset;
}

std::uint8_t* Cta::param_bytes(const Site& at, std::uint64_t address, std::uint32_t bytes,
                               Access access) {
  if (address >= kCallSpace) {
    const std::uint64_t offset = address - kCallSpace;
    if (offset > kernel_.call_bytes || bytes > kernel_.call_bytes - offset) {
      fail(FindingKind::kOutOfBounds, at, "a call's arguments are overrun");
    }
    return at.warp.call_space.data() + static_cast<std::size_t>(at.lane) * kernel_.call_bytes +
           offset;
  }
  auto& parameters = launch_.parameters;
  if (address > parameters.size() || bytes > parameters.size() - address) {
    fail(FindingKind::kOutOfBounds, at,
         fmt::format("{} {} bytes at offset {} of {} bytes of parameters", verb(access), bytes,
                     address, parameters.size()));
  }
  if (access == Access::kWrite) fail(FindingKind::kInvalid, at, "writes a kernel parameter");
  return parameters.data() + address;
}

}  // namespace flashbench::ptx

#include "ptx/machine/shared_memory.h"

#include <algorithm>
#include <cstring>

#include "ptx/machine/cta.h"

namespace flashbench::ptx {
namespace {

std::uint8_t lane_code(const Site& at) {
  return at.lane < 0 ? kWholeWarp : static_cast<std::uint8_t>(at.lane);
}

}  // namespace

SharedMemory::SharedMemory(std::uint32_t end, int warp_count)
    : warps(warp_count),
      data(end, 0xFF),
      written(data.size(), 0),
      words(data.size() / 4 + 1),
      reads(words.size() * static_cast<std::size_t>(warp_count)) {}

void SharedMemory::add_in_flight(std::uint32_t offset, std::uint32_t bytes, int change) {
  for (std::uint32_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
    words[word].in_flight = static_cast<std::uint8_t>(words[word].in_flight + change);
  }
}

void SharedMemory::add_leaving(std::uint32_t offset, std::uint32_t bytes, int change) {
  for (std::uint32_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
    words[word].leaving = static_cast<std::uint8_t>(words[word].leaving + change);
  }
}

void SharedMemory::keep_writer(std::uint32_t word) {
  std::vector<SharedWord>& of = copies[word];
  const SharedWord& s = words[word];
  std::erase_if(of,
                [&](const SharedWord& c) { return c.writer == s.writer && c.bytes == s.bytes; });
  of.push_back(s);
}

std::uint8_t* Cta::shared_bytes(const Site& at, std::uint32_t offset, std::uint32_t bytes) {
  if (!shared_.holds(offset, bytes)) {
    fail(FindingKind::kOutOfBounds, at,
         fmt::format("{} bytes at offset {} of {} bytes of shared memory", bytes,
                     static_cast<std::int64_t>(offset) - kSharedBase,
                     shared_.data.size() - kSharedBase));
  }
  return shared_.data.data() + offset;
}

void Cta::check_shared_read(const Site& at, std::uint32_t offset, std::uint32_t bytes,
                            bool atomic) {
  if (std::memchr(shared_.written.data() + offset, 0, bytes) != nullptr) {
    report(FindingKind::kUninitialised, at, [&] {
      return fmt::format("reads shared offset {}, which nothing has written", offset - kSharedBase);
    });
  }
  if (!launch_.options.detect_races) return;
  const auto me = static_cast<std::size_t>(at.warp.id);
  const std::uint8_t lane = lane_code(at);
  const std::uint32_t now = at.warp.clock[me];
  for (std::uint32_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
    const SharedWord& s = shared_.words[word];
    const std::uint8_t mask = byte_mask(word, offset, bytes);
    const auto race = [&](const std::string& what) {
      report(FindingKind::kRace, at, [&] {
        return fmt::format("reads shared offset {} {}", word * 4 - kSharedBase, what);
      });
    };
    if (s.in_flight != 0) {
      report(FindingKind::kRace, at, [&] {
        return fmt::format("reads shared offset {} while an asynchronous copy to it is in flight",
                           word * 4 - kSharedBase);
      });
    } else if ((s.bytes & mask) == 0 || (atomic && s.atomic)) {
      // Not the bytes that were written, or atomics meet.
    } else if (s.writer != me) {
      if (s.write_clock > at.warp.clock[s.writer]) {
        race(fmt::format("that {} wrote (PTX line {}) without synchronisation",
                         agent_name(s.writer), s.write_line));
      }
    } else if (s.write_clock == now && s.lane != lane && !s.async) {
      race(fmt::format("that {} of this warp wrote (PTX line {}) without a warp sync",
                       s.lane == kWholeWarp ? "another lane" : fmt::format("lane {}", s.lane),
                       s.write_line));
    }
    if (atomic) continue;
    SharedRead& r = shared_.read_mark(word, at.warp.id);
    if (r.clock == now) {
      r.lane = r.lane == lane ? lane : kWholeWarp;
      r.bytes |= mask;
    } else {
      r = {now, lane, mask};
    }
  }
}

void Cta::check_shared_write(const Site& at, std::uint32_t offset, std::uint32_t bytes,
                             const void* from, bool atomic) {
  if (!launch_.options.detect_races) return;
  for (std::uint32_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
    const SharedWord& s = shared_.words[word];
    const std::uint8_t mask = byte_mask(word, offset, bytes);
    if (s.in_flight != 0) {
      report(FindingKind::kRace, at, [&] {
        return fmt::format("writes shared offset {} while an asynchronous copy to it is in flight",
                           word * 4 - kSharedBase);
      });
    }
    if (s.leaving != 0) {
      report(FindingKind::kRace, at, [&] {
        return fmt::format("writes shared offset {} while a bulk store of it is in flight",
                           word * 4 - kSharedBase);
      });
    }
    if ((s.bytes & mask) != 0 && !(atomic && s.atomic)) {
      const std::uint32_t first = std::max(word * 4, offset);
      const void* value =
          from == nullptr ? nullptr : static_cast<const std::uint8_t*>(from) + (first - offset);
      check_write_after_write(at, word, first, value, mask);
    }
    check_write_after_read(at, word, mask);
  }
}

void Cta::check_write_after_write(const Site& at, std::uint32_t word, std::uint32_t first,
                                  const void* value, std::uint8_t mask) {
  const SharedWord& s = shared_.words[word];
  const auto me = static_cast<std::size_t>(at.warp.id);
  const auto bytes = static_cast<std::size_t>(std::popcount(mask));
  const bool same_value =
      value != nullptr && std::memcmp(shared_.data.data() + first, value, bytes) == 0;
  const auto ordered = [&](const SharedWord& w) {
    return w.writer == me || w.write_clock <= at.warp.clock[w.writer];
  };
  const auto race = [&](const SharedWord& w) {
    report(FindingKind::kRace, at, [&] {
      return fmt::format(
          "writes shared offset {} that {} wrote (PTX line {}) without synchronisation",
          word * 4 - kSharedBase, agent_name(w.writer), w.write_line);
    });
  };
  const bool copy =
      !launch_.options.copies_race && same_value && !s.async && s.write_line == at.ins.line;
  const auto copies = copy ? shared_.copies.end() : shared_.copies.find(word);
  if (copies != shared_.copies.end()) {  // another value: theirs may arrive after it
    for (const SharedWord& c : copies->second)
      if ((c.bytes & mask) != 0 && !ordered(c)) race(c);
    std::erase_if(copies->second, [&](const SharedWord& c) { return (c.bytes & mask) != 0; });
  }
  if (s.writer != me) {
    if (ordered(s)) return;
    return copy ? shared_.keep_writer(word) : race(s);
  }
  if (s.write_clock != at.warp.clock[me] || s.lane == lane_code(at) || s.async) return;
  // Lanes that write the same value do not harm each other.
  if (value == nullptr || same_value) return;
  report(FindingKind::kRace, at, [&] {
    return fmt::format(
        "writes shared offset {} that another lane of this warp wrote (PTX line {}) without a warp "
        "sync",
        word * 4 - kSharedBase, s.write_line);
  });
}

void Cta::check_write_after_read(const Site& at, std::uint32_t word, std::uint8_t mask) {
  for (int q = 0; q < shared_.warps; ++q) {
    const SharedRead& r = shared_.read_mark(word, q);
    if ((r.bytes & mask) == 0) continue;
    const std::uint32_t known = at.warp.clock[static_cast<std::size_t>(q)];
    const bool mine = q == at.warp.id;
    if (mine ? r.clock != known || r.lane == lane_code(at) : r.clock <= known) continue;
    report(FindingKind::kRace, at, [&] {
      return fmt::format("writes shared offset {} that {} reads, without synchronisation",
                         word * 4 - kSharedBase,
                         mine ? std::string("another lane of this warp") : agent_name(q));
    });
  }
}

void Cta::mark_shared_write(const Site& at, std::uint32_t offset, std::uint32_t bytes,
                            bool atomic) {
  std::memset(shared_.written.data() + offset, 1, bytes);
  if (!launch_.options.detect_races) return;
  const auto me = static_cast<std::uint8_t>(at.warp.id);
  const std::uint32_t now = at.warp.clock[me];
  for (std::uint32_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
    SharedWord& s = shared_.words[word];
    std::uint8_t mask = byte_mask(word, offset, bytes);
    std::uint8_t lane = lane_code(at);
    if (s.writer == me && s.write_clock == now && !s.async) {
      mask |= s.bytes;
      if (s.lane != lane && mask != byte_mask(word, offset, bytes))
        lane = s.lane == lane ? lane : kWholeWarp;
    }
    s.write_clock = now;
    s.write_line = at.ins.line;
    s.writer = me;
    s.lane = lane;
    s.bytes = mask;
    s.async = false;
    s.atomic = atomic;
  }
}

}  // namespace flashbench::ptx

#pragma once

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "ptx/machine/warp.h"

namespace flashbench::ptx {

/// Who wrote an aligned 4-byte word of shared memory last, and what is under way to it.
struct SharedWord {
  std::uint32_t write_clock = 0;  ///< of the writer, when it wrote
  int write_line = 0;             ///< PTX line
  std::uint8_t writer = 0;        ///< agent
  std::uint8_t lane = 0;          ///< kWholeWarp: not one lane's
  std::uint8_t bytes = 0;         ///< bit i: byte i is the writer's
  std::uint8_t in_flight = 0;     ///< asynchronous copies that will write it
  std::uint8_t leaving = 0;       ///< bulk stores that will read it
  bool async = false;             ///< written by the async proxy
  bool atomic = false;
};
constexpr std::uint8_t kWholeWarp = 32;

/// When a warp last read a word.
struct SharedRead {
  std::uint32_t clock = 0;
  std::uint8_t lane = 0;  ///< kWholeWarp: several lanes
  std::uint8_t bytes = 0;
};

/// Bit i: an access to `bytes` at `offset` covers byte i of the aligned 4-byte word `word`.
constexpr std::uint8_t byte_mask(std::uint64_t word, std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t first = std::max(word * 4, offset),
                      end = std::min(word * 4 + 4, offset + bytes);
  return static_cast<std::uint8_t>(((1u << (end - first)) - 1) << (first - word * 4));
}

/// A CTA's shared memory, with what its checks need to remember. Offsets include kSharedBase.
struct SharedMemory {
  SharedMemory(std::uint32_t end, int warps);

  bool holds(std::uint32_t offset, std::uint32_t bytes) const {
    return offset >= kSharedBase && offset <= data.size() && bytes <= data.size() - offset;
  }
  SharedRead& read_mark(std::uint32_t word, int warp) {
    return reads[word * static_cast<std::uint32_t>(warps) + static_cast<std::uint32_t>(warp)];
  }
  void add_in_flight(std::uint32_t offset, std::uint32_t bytes, int change);
  void add_leaving(std::uint32_t offset, std::uint32_t bytes, int change);
  /// Another warp stores the word's value once more, see DeviceOptions::copies_race.
  void keep_writer(std::uint32_t word);

  int warps;
  std::vector<std::uint8_t> data, written;  ///< written: one flag per byte
  std::vector<SharedWord> words;
  std::vector<SharedRead> reads;
  /// By word: those who stored its value too, before its last writer did.
  std::unordered_map<std::uint32_t, std::vector<SharedWord>> copies;
};

}  // namespace flashbench::ptx

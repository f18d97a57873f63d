#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "ptx/machine/async_proxy.h"
#include "ptx/machine/kernel.h"

namespace flashbench::ptx {

/// Copies of a warp that nothing has waited for: far more than shared memory holds.
constexpr std::size_t kMostInFlight = std::size_t{1} << 16;

/// A cp.async of one lane that is not complete. `group` counts the lane's commits before it.
struct PendingCopy {
  std::uint32_t to;
  std::uint64_t from;
  std::uint32_t bytes, source_bytes, group;
  int lane;
  const Instruction* ins;
};

struct Warp {
  int id = 0;
  std::vector<std::uint8_t> file;  ///< registers, see Row
  std::vector<LaneMask> defined;   ///< by row_index: lanes that have a value
  std::array<int, kWarpSize> pc{};
  LaneMask alive = 0, runnable = 0;
  LaneMask collecting = 0;   ///< wait at a collective instruction for other lanes
  std::uint32_t rotate = 0;  ///< which group of diverged lanes goes next, so that none starves
  Clock clock{};
  Clock fenced{};  ///< what a proxy fence of this warp made visible to the async proxy
  std::array<std::vector<int>, kWarpSize> calls;
  std::vector<PendingCopy> copies;
  std::array<std::uint32_t, kWarpSize> groups{};     ///< cp.async groups committed
  std::array<std::uint32_t, kWarpSize> waits_for{};  ///< mbarrier offset of a blocked lane
  std::vector<BulkStore> stores;
  std::array<std::uint32_t, kWarpSize> store_groups{};
  WgmmaQueue wgmma;
  std::vector<std::uint8_t> local, local_written, call_space;  ///< lane after lane

  template <class T>
  T get(Row row, int lane) const {
    T v;
    const std::size_t stride = sizeof(T) == 8 ? 8 : 4;
    std::memcpy(&v, file.data() + row + stride * static_cast<std::size_t>(lane), sizeof(T));
    return v;
  }
  /// Values of less than 32 bits are extended as their type says.
  template <class T>
  void set(Row row, int lane, T value) {
    if constexpr (sizeof(T) < 4) {
      std::uint32_t wide;
      if constexpr (std::is_signed_v<T>) {
        wide = static_cast<std::uint32_t>(static_cast<std::int32_t>(value));
      } else {
        wide = value;
      }
      std::memcpy(file.data() + row + 4 * static_cast<std::size_t>(lane), &wide, 4);
    } else {
      std::memcpy(file.data() + row + sizeof(T) * static_cast<std::size_t>(lane), &value,
                  sizeof(T));
    }
  }
  /// A register of `bytes` per lane as an integer.
  std::uint64_t get_wide(Row row, int lane, int bytes) const {
    return bytes == 8 ? get<std::uint64_t>(row, lane) : get<std::uint32_t>(row, lane);
  }
  void set_wide(Row row, int lane, int bytes, std::uint64_t v) {
    if (bytes == 8) {
      set<std::uint64_t>(row, lane, v);
    } else {
      set<std::uint32_t>(row, lane, static_cast<std::uint32_t>(v));
    }
  }
  LaneMask predicate(Row row) const { return get<LaneMask>(row, 0); }
  LaneMask predicate(Row row, bool negated) const {
    return negated ? ~predicate(row) : predicate(row);
  }
  void set_predicate(Row row, LaneMask value, LaneMask lanes) {
    set<LaneMask>(row, 0, (predicate(row) & ~lanes) | (value & lanes));
  }
};

/// Calls f(lane) for every lane of the mask.
template <class F>
inline void for_lanes(LaneMask mask, F f) {
  if (mask == kAllLanes) {
    for (int i = 0; i < kWarpSize; ++i) f(i);
  } else {
    for (; mask != 0; mask &= mask - 1) f(std::countr_zero(mask));
  }
}

/// A row's values, of all lanes: arithmetic runs over whole rows so that it vectorises.
template <class T>
struct Lanes {
  std::array<T, kWarpSize> v;
};

template <class T>
inline Lanes<T> load_row(const Warp& w, Row row) {
  Lanes<T> r;
  if constexpr (sizeof(T) >= 4) {
    std::memcpy(r.v.data(), w.file.data() + row, sizeof r.v);
  } else {
    for (int i = 0; i < kWarpSize; ++i) r.v[static_cast<std::size_t>(i)] = w.get<T>(row, i);
  }
  return r;
}

template <class T>
inline void store_row(Warp& w, Row row, const Lanes<T>& r, LaneMask mask) {
  if constexpr (sizeof(T) >= 4) {
    if (mask == kAllLanes) {
      std::memcpy(w.file.data() + row, r.v.data(), sizeof r.v);
      return;
    }
  }
  for_lanes(mask, [&](int i) { w.set<T>(row, i, r.v[static_cast<std::size_t>(i)]); });
}

}  // namespace flashbench::ptx

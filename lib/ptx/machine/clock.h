#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace flashbench::ptx {

/// Agents of a CTA that happens-before knows: its warps, then its mbarriers.
constexpr int kMaxAgents = 64;
using Clock = std::array<std::uint32_t, kMaxAgents>;

inline void join(Clock& into, const Clock& other) {
  for (std::size_t i = 0; i < into.size(); ++i) into[i] = std::max(into[i], other[i]);
}

}  // namespace flashbench::ptx

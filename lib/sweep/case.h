#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/problem.h"
#include "kernel/execution.h"
#include "sweep/record.h"

namespace flashbench::sweep {

/// warm: operands where the last call left them. cold: every timed call reads operands that no
/// cache holds.
enum class CacheState { kWarm, kCold };

constexpr std::string_view name(CacheState c) {
  switch (c) {
    case CacheState::kWarm:
      return "warm";
    case CacheState::kCold:
      return "cold";
  }
  no_such_enumerator();
}

/// One thing to compute or to measure: a problem, and how the user wants it computed.
struct Case {
  Problem problem;

  AttentionType type = AttentionType::kFlash;
  std::optional<BackendId> backend;  ///< absent: whichever takes it
  std::optional<Isa> isa;            ///< absent: the best that runs here
  std::string kernel;                ///< force one by name; empty: routed
  std::string plugin, worker;        ///< the guest of the types of these names
  PluginAbi abi = PluginAbi::kFlashbenchKernel;
  std::string launch;         ///< of PTX: how it is launched; empty: see launch_of()
  int threads = 0;            ///< 0: all that this process may use
  std::optional<int> device;  ///< index of a GPU, or kEmulatedDevice
  bool deterministic = false;
  std::int64_t q_block = 64, kv_block = 64;  ///< of the `paper` type
  CacheState cache = CacheState::kWarm;

  Part part = {};  ///< decides nothing
};

/// Its plug-in is a file of PTX, and the file that describes its launches: unless one is named,
/// FILE.json beside FILE.ptx.
inline constexpr std::string_view kPtxSuffix = ".ptx";
inline bool is_ptx(const Case& c) { return c.plugin.ends_with(kPtxSuffix); }
inline std::string launch_of(const Case& c) {
  if (!c.launch.empty()) return c.launch;
  return c.plugin.substr(0, c.plugin.size() - kPtxSuffix.size()) + ".json";
}

/// Cases that differ in how they are computed only: they share their inputs and are measured
/// interleaved, round by round.
struct Group {
  std::vector<Case> cases;  ///< never empty

  const Problem& problem() const { return cases.front().problem; }
};

}  // namespace flashbench::sweep

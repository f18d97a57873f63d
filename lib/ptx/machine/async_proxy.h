#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "ptx/machine/clock.h"
#include "ptx/machine/kernel.h"

// What runs beside the threads of a CTA: mbarriers, bulk copies, wgmma.
namespace flashbench::ptx {

/// An object of arrivals and transferred bytes: PTX ISA 9.7.13.15.
struct MBarrier {
  std::uint32_t count = 0, pending = 0;
  std::int64_t bytes = 0;  ///< expected minus completed; negative while copies are ahead
  std::uint32_t phase = 0;
  Clock clock{}, done{};  ///< what arrivals released in this phase, and in the last
  std::size_t agent = 0;  ///< its own entry in the clocks: the async proxy's writes
};

/// A bulk load under way: it arrives after `delay` more rounds of the CTA.
struct PendingLoad {
  int delay;
  std::function<void()> run;
};

/// Bulk stores of a lane; they happen when they are waited for.
struct BulkStore {
  int lane;
  std::uint32_t group;
  std::function<void()> run;
  const Instruction* ins;
};

/// The accumulator of wgmmas in flight: registers hold poison until the wait.
struct Accumulator {
  std::vector<Row> rows;
  std::vector<float> values;  ///< row after row, lane after lane
  int uses = 0;
};

/// A wgmma of one warp: what it read when it was issued. The product is made at the wait.
struct WgmmaOperation {
  const Instruction* ins;
  std::uint64_t a_descriptor, b_descriptor;
  bool accumulate;
  Accumulator* accumulator;
  std::vector<std::uint32_t> a_registers;
};

struct WgmmaQueue {
  std::vector<WgmmaOperation> open;
  std::vector<std::vector<WgmmaOperation>> groups;
  std::map<Row, std::unique_ptr<Accumulator>> accumulators;  ///< by their first row
  std::vector<std::uint8_t> in_flight;  ///< by row_index; empty where a kernel has no wgmma
  std::vector<std::uint8_t> dirty;      ///< written since the last wgmma.fence
  bool fenced = false, waiting = false;
  std::int64_t groups_left = 0;
};

}  // namespace flashbench::ptx

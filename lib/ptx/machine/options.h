#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace flashbench::ptx {

/// Where a block's dynamic shared memory begins.
enum class DynamicShared {
  /// As little aligned as its declaration allows, so that a kernel which relies on more is caught.
  kAsDeclared,
  /// As on a GPU: right behind the static one, and at a multiple of 1024 where there is none, which
  /// foreign kernels rely on (Triton declares .align 16 and swizzles tiles of 1024 bytes).
  kAsOnGpus,
};

struct DeviceOptions {
  int compute_capability = 90;  ///< modules with a newer .target, or sm_90a of another, are refused
  std::uint64_t seed = 1;       ///< of warp order, CTA order and asynchronous completion
  std::size_t memory_bytes = std::size_t{8} << 30;  ///< alloc throws beyond it
  std::size_t shared_bytes_per_block =
      227 * 1024;  ///< the opt-in limit, static and dynamic together
  DynamicShared dynamic_shared = DynamicShared::kAsDeclared;
  int resident_ctas = 4;                    ///< CTAs that take turns
  std::uint32_t slice_instructions = 2000;  ///< a warp's turn
  std::uint64_t max_warp_instructions = 0;  ///< of one launch; 0: no limit
  bool detect_races = true;
  /// Whether warps that store the same value by the same instruction to the same place race. Ours
  /// may not; Triton's hold copies of a value where a tile is smaller than the block.
  bool copies_race = true;
  /// Asked between slices; true ends a launch with DeviceError. Empty: nobody stops one.
  std::function<bool()> stop_requested = {};
  int max_findings = 20;  ///< distinct ones of a launch that are kept
};

/// An address in the emulated device's generic address space. Allocations are far apart, so that
/// an access past the end of one never lands in another.
using Address = std::uint64_t;

/// Where they begin, and where processes on Linux begin to have memory of their own: whoever
/// touches an address between them on the host has mistaken it for the host's.
inline constexpr Address kFirstAddress = 0x1100'0000'0000, kFirstHostAddress = 0x5000'0000'0000;

}  // namespace flashbench::ptx

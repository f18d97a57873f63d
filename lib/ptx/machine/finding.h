#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace flashbench::ptx {

/// Extent or index of a grid, a block, a CTA.
struct Dim3 {
  std::uint32_t x = 1, y = 1, z = 1;
};

enum class FindingKind {
  kOutOfBounds,    ///< an access outside every allocation, of any memory space
  kMisaligned,     ///< an address that is not a multiple of the access's size
  kUninitialised,  ///< memory or a register is read that nothing has written
  kRace,           ///< two accesses, one of them a write, that nothing orders
  kAsync,          ///< an asynchronous copy that nobody waited for
  kProxy,          ///< a generic write read by the async proxy without a fence between them
  kWgmma,          ///< registers of a wgmma touched while it is in flight, or no wgmma.fence
  kBarrier,        ///< wrong counts of a barrier or an mbarrier
  kInvalid,        ///< operands that the PTX manual forbids: member masks, descriptors, tensor maps
  kDeadlock,       ///< nothing can run; the message says who waits where
  kLivelock,       ///< threads spin without progress, or the instruction limit is reached
  kTrap,           ///< trap, or a device assertion
};

/// "out of bounds", "race", ...
std::string_view name(FindingKind kind);

/// Something wrong that the emulated device saw while a kernel ran.
struct Finding {
  FindingKind kind{};
  bool fatal = false;   ///< the launch stopped here: its outputs are incomplete
  std::string message;  ///< what happened, with addresses
  std::string kernel;
  Dim3 cta{0, 0, 0};
  int warp = -1, lane = -1;  ///< -1: not one warp's, or not one lane's
  std::string file;          ///< CUDA source, from .loc; empty without -lineinfo
  int line = 0;
  std::string caller_file;  ///< the kernel's line that `line` was inlined into, if it was
  int caller_line = 0;
  int ptx_line = 0;
  std::string instruction;        ///< the text of the PTX line
  std::uint64_t occurrences = 1;  ///< times that this kind was seen at this PTX line

  /// One line: "race in mma_forward (forward.cu:120), CTA (0,1,0), warp 2, lane 7: ...".
  std::string text() const;
};

/// What a launch that found these, at least one, fails with.
std::string text(const std::vector<Finding>& findings);

}  // namespace flashbench::ptx

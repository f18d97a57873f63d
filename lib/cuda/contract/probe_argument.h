#pragma once

#include <cstdint>

// What the probe kernels are told: read by nvcc and by the host's compiler.
namespace flashbench::cuda {

/// The only argument of every probe. Nothing of it is known to a compiler, so that no work is
/// folded away; a result that equals `never` would be written, which keeps all of it alive.
struct ProbeArgument {
  const void* data;      ///< simt_probe_read: the buffer
  std::int64_t bytes;    ///< simt_probe_read: its size, a multiple of kReadGranule
  std::int32_t repeats;  ///< of the arithmetic's loop, or passes over the buffer
  float factor, addend;  ///< simt_probe_fma: x = x * factor + addend
  std::int32_t never;    ///< bits that no result has
  std::int32_t* sink;    ///< where it would go
};

inline constexpr int kProbeThreads = 256;  // of a block
/// Multiply-adds of one thread of simt_probe_fma for each repeat: chains that do not wait for each
/// other, times steps of each.
inline constexpr int kFmaChains = 8, kFmaSteps = 64;
/// mma.sync of one warp of probe_sm80_mma_* for each repeat: accumulators, times steps of each.
inline constexpr int kMmaTiles = 8, kMmaSteps = 4;
/// FLOP of one mma.sync.m16n8k16.
inline constexpr int kMmaFlop = 2 * 16 * 8 * 16;
/// wgmma of one warpgroup of probe_sm90a_wgmma_* for each repeat: slices of 16 of the sum, each
/// with operands of its own, added and then subtracted.
inline constexpr int kWgmmaSlices = 4, kWgmmaSteps = 2 * kWgmmaSlices;
/// FLOP of one wgmma.m64n256k16.
inline constexpr int kWgmmaColumns = 256, kWgmmaFlop = 2 * 64 * kWgmmaColumns * 16;
/// Bytes that one block of simt_probe_read takes at a time: 4 loads of 16 bytes a thread.
inline constexpr int kReadLoads = 4;
inline constexpr int kReadGranule = kProbeThreads * kReadLoads * 16;

}  // namespace flashbench::cuda

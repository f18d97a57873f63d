#pragma once

// How normal attention's rows of scores are shared out among threads: read by nvcc and by the host.
namespace flashbench::cuda::normal {

inline constexpr int kThreads = 256;  ///< of a block
inline constexpr int kVectors = 8;    ///< of 4 elements that a thread holds at a time

/// Rows of up to kWarpColumns keys are worked on by a warp, longer ones by a block. Up to
/// kBlockColumns they stay in registers; beyond, softmax reads them twice.
inline constexpr int kWarpColumns = 32 * 4 * kVectors;
inline constexpr int kBlockColumns = kThreads * 4 * kVectors;
static_assert(kWarpColumns == 1024 && kBlockColumns == 8192, "as the README says");

/// P is stored times this power of two, where it is f16: P = 2^-24 has one bit left there, and dS
/// multiplies what is lost by dP - D. Scaled, P keeps its 11 bits down to 2^-29; the products that
/// read it divide by the same number.
inline constexpr float kF16WeightScale = 32768;

}  // namespace flashbench::cuda::normal

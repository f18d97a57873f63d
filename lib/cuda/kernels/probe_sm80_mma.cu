#include "cuda/kernels/mma_sm80_ptx.cuh"
#include "cuda/probe_argument.h"

// The rate of mma.sync.m16n8k16 with f32 sums, from registers alone: what any kernel made of this
// instruction can reach. On 9.0 wgmma is said to be about 1.6 times as fast.
namespace flashbench::cuda {
namespace {

using mma_sm80::multiply_add;

/// Two 16-bit numbers of either sign in [0.5, 1): products of zeros would take less power than real
/// ones, and so run at higher clocks. `exponent`: the bits of 0.5.
__device__ std::uint32_t numbers(std::uint32_t seed, std::uint32_t exponent,
                                 std::uint32_t mantissa) {
  std::uint32_t x = seed * 0x9e3779b9u;
  x ^= x >> 15;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  return (x & (0x80008000u | mantissa | mantissa << 16)) | exponent | exponent << 16;
}

template <typename T>
__device__ void multiply(const ProbeArgument& a, std::uint32_t exponent, std::uint32_t mantissa) {
  constexpr int kRows = 2, kColumns = kMmaTiles / kRows;
  std::uint32_t left[kRows][4], right[kColumns][2];
  std::uint32_t seed = (blockIdx.x * kProbeThreads + threadIdx.x) * 64 + a.repeats;
#pragma unroll
  for (auto& fragment : left)
#pragma unroll
    for (std::uint32_t& pair : fragment) pair = numbers(seed++, exponent, mantissa);
#pragma unroll
  for (auto& fragment : right)
#pragma unroll
    for (std::uint32_t& pair : fragment) pair = numbers(seed++, exponent, mantissa);
  float sums[kRows][kColumns][4] = {};
  for (int repeat = 0; repeat < a.repeats; ++repeat)
#pragma unroll
    for (int step = 0; step < kMmaSteps; ++step)
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int j = 0; j < kColumns; ++j)
          multiply_add<T>(sums[i][j], left[i], right[j][0], right[j][1]);
  int bits = 0;
#pragma unroll
  for (auto& row : sums)
#pragma unroll
    for (auto& tile : row)
#pragma unroll
      for (const float sum : tile) bits += __float_as_int(sum);
  if (bits == a.never) *a.sink = bits;
}

}  // namespace
}  // namespace flashbench::cuda

extern "C" __global__ void __launch_bounds__(flashbench::cuda::kProbeThreads)
    probe_sm80_mma_bf16(const __grid_constant__ flashbench::cuda::ProbeArgument a) {
  flashbench::cuda::multiply<flashbench::cuda::mma_sm80::Bf16>(a, 0x3f00, 0x007f);
}

extern "C" __global__ void __launch_bounds__(flashbench::cuda::kProbeThreads)
    probe_sm80_mma_f16(const __grid_constant__ flashbench::cuda::ProbeArgument a) {
  flashbench::cuda::multiply<flashbench::cuda::mma_sm80::F16>(a, 0x3800, 0x03ff);
}

#include "cuda/contract/probe_argument.h"
#include "cuda/fragments/instructions.cuh"
#include "cuda/probe/probe_numbers.cuh"

// The rate of mma.sync.m16n8k16 with f32 sums, from registers alone: what any kernel made of this
// instruction can reach. On 9.0 wgmma is faster: probe_sm90a_wgmma.cu.
namespace flashbench::cuda {
namespace {

using fragments::multiply_add;

template <typename T>
__device__ void multiply(const ProbeArgument& a, Format16 format) {
  constexpr int kRows = 2, kColumns = kMmaTiles / kRows;
  std::uint32_t left[kRows][4], right[kColumns][2];
  std::uint32_t seed = (blockIdx.x * kProbeThreads + threadIdx.x) * 64 + a.repeats;
#pragma unroll
  for (auto& fragment : left)
#pragma unroll
    for (std::uint32_t& pair : fragment) pair = random_pair(seed++, format);
#pragma unroll
  for (auto& fragment : right)
#pragma unroll
    for (std::uint32_t& pair : fragment) pair = random_pair(seed++, format);
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
  flashbench::cuda::multiply<flashbench::cuda::fragments::Bf16>(a, flashbench::cuda::kBf16Format);
}

extern "C" __global__ void __launch_bounds__(flashbench::cuda::kProbeThreads)
    probe_sm80_mma_f16(const __grid_constant__ flashbench::cuda::ProbeArgument a) {
  flashbench::cuda::multiply<flashbench::cuda::fragments::F16>(a, flashbench::cuda::kF16Format);
}

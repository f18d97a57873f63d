#include "cuda/contract/probe_argument.h"

// The peaks that every GPU has: f32 multiply-adds, and reads of device memory.
namespace flashbench::cuda {
namespace {

/// kFmaChains chains a thread that do not wait for each other. The loop costs 3 instructions in
/// 512 multiply-adds.
__device__ void multiply_adds(const ProbeArgument& a) {
  // Different in every thread: what is the same in all of a warp would not come from its registers,
  // as the operands of a real kernel do.
  const float factor = a.factor + 1e-6f * static_cast<float>(threadIdx.x);
  const float addend = a.addend * factor;
  float x[kFmaChains];
#pragma unroll
  for (int i = 0; i < kFmaChains; ++i) x[i] = static_cast<float>(threadIdx.x + i) * a.factor;
  for (int repeat = 0; repeat < a.repeats; ++repeat)
#pragma unroll
    for (int step = 0; step < kFmaSteps; ++step)
#pragma unroll
      for (int i = 0; i < kFmaChains; ++i) x[i] = fmaf(x[i], factor, addend);
  int bits = 0;
#pragma unroll
  for (int i = 0; i < kFmaChains; ++i) bits ^= __float_as_int(x[i]) + i;
  if (bits == a.never) *a.sink = bits;
}

/// The whole grid streams through the buffer, pass after pass, 16 bytes a load.
__device__ void read(const ProbeArgument& a) {
  const int4* const data = static_cast<const int4*>(a.data);
  const std::int64_t n = a.bytes / static_cast<std::int64_t>(sizeof(int4));
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kProbeThreads * kReadLoads;
  const std::int64_t first =
      static_cast<std::int64_t>(blockIdx.x) * kProbeThreads * kReadLoads + threadIdx.x;
  int sum = 0;
  for (int pass = 0; pass < a.repeats; ++pass)
    for (std::int64_t at = first; at < n; at += stride) {
      int4 x[kReadLoads];
#pragma unroll
      for (int i = 0; i < kReadLoads; ++i) x[i] = data[at + i * kProbeThreads];
#pragma unroll
      for (int i = 0; i < kReadLoads; ++i) sum += x[i].x + x[i].y + x[i].z + x[i].w;
    }
  if (sum == a.never) *a.sink = sum;
}

}  // namespace
}  // namespace flashbench::cuda

extern "C" __global__ void __launch_bounds__(flashbench::cuda::kProbeThreads)
    simt_probe_fma(const __grid_constant__ flashbench::cuda::ProbeArgument a) {
  flashbench::cuda::multiply_adds(a);
}

extern "C" __global__ void __launch_bounds__(flashbench::cuda::kProbeThreads)
    simt_probe_read(const __grid_constant__ flashbench::cuda::ProbeArgument a) {
  flashbench::cuda::read(a);
}

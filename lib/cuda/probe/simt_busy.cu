#include "cuda/contract/probe_argument.h"

/// One thread that sleeps for `repeats` times some 10 us: the GPU is busy, and its caches and its
/// clocks are as they were.
extern "C" __global__ void simt_busy(const __grid_constant__ flashbench::cuda::ProbeArgument a) {
  for (int i = 0; i < a.repeats; ++i) asm volatile("nanosleep.u32 10000;");
}

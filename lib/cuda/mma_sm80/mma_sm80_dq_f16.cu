#include "cuda/mma_sm80/mma_sm80_dq.cuh"

using namespace flashbench::cuda;  // entry points have C names, so that the host finds them

extern "C" __global__ void __launch_bounds__(mma_sm80::kDeltaThreads)
    mma_sm80_delta_f16(const __grid_constant__ Attention a) {
  mma_sm80::delta<mma_sm80::F16>(a);
}

#define FLASHBENCH_DQ(d)                                                       \
  extern "C" __global__ void __launch_bounds__(mma_sm80::dq_tile(d).threads()) \
      mma_sm80_dq_f16_d##d(const __grid_constant__ Attention a) {              \
    mma_sm80::dq<mma_sm80::F16, d>(a);                                         \
  }

FLASHBENCH_DQ(32)
FLASHBENCH_DQ(64)
FLASHBENCH_DQ(96)
FLASHBENCH_DQ(128)
FLASHBENCH_DQ(192)
FLASHBENCH_DQ(256)

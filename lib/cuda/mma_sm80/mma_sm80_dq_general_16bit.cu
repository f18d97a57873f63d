#include "cuda/fragments/entry_points.cuh"
#include "cuda/mma_sm80/mma_sm80_dq.cuh"

using namespace flashbench::cuda;  // entry points have C names, so that the host finds them

#define FLASHBENCH_DQ(d)                                                                \
  extern "C" __global__ void __launch_bounds__(mma_sm80::dq_tile(d).threads())          \
      FLASHBENCH_ENTRY_D(mma_sm80_dq_general, d)(const __grid_constant__ Attention a) { \
    mma_sm80::dq<EntryElement, d, Variant::kGeneral>(a);                                \
  }

FLASHBENCH_DQ(32)
FLASHBENCH_DQ(64)
FLASHBENCH_DQ(96)
FLASHBENCH_DQ(128)
FLASHBENCH_DQ(192)
FLASHBENCH_DQ(256)

#include "cuda/fragments/entry_points.cuh"
#include "cuda/mma_sm80/mma_sm80_forward.cuh"

using namespace flashbench::cuda;  // entry points have C names, so that the host finds them

#define FLASHBENCH_FORWARD(d)                                                        \
  extern "C" __global__ void __launch_bounds__(mma_sm80::forward_tile(d).threads())  \
      FLASHBENCH_ENTRY_D(mma_sm80_forward, d)(const __grid_constant__ Attention a) { \
    mma_sm80::forward<EntryElement, d, Variant::kPlain>(a);                          \
  }

FLASHBENCH_FORWARD(32)
FLASHBENCH_FORWARD(64)
FLASHBENCH_FORWARD(96)
FLASHBENCH_FORWARD(128)
FLASHBENCH_FORWARD(192)
FLASHBENCH_FORWARD(256)

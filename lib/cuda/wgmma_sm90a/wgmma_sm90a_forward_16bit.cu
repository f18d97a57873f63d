#include "cuda/fragments/entry_points.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_forward.cuh"

using namespace flashbench::cuda;  // entry points have C names, so that the host finds them

#define FLASHBENCH_FORWARD(d)                                                                \
  extern "C" __global__ void __launch_bounds__(wgmma_sm90a::forward_tile(d).threads(), 1)    \
      FLASHBENCH_ENTRY_D(wgmma_sm90a_forward, d)(const __grid_constant__ BoxedAttention x) { \
    wgmma_sm90a::forward<EntryElement, d>(x);                                                \
  }

FLASHBENCH_FORWARD(64)
FLASHBENCH_FORWARD(128)
FLASHBENCH_FORWARD(192)
FLASHBENCH_FORWARD(256)

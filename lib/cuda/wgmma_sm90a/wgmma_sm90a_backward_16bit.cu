#include "cuda/fragments/entry_points.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_backward.cuh"

using namespace flashbench::cuda;  // entry points have C names, so that the host finds them

#define FLASHBENCH_BACKWARD(d)                                                            \
  extern "C" __global__ void __launch_bounds__(wgmma_sm90a::dq_tile(d).threads(), 1)      \
      FLASHBENCH_ENTRY_D(wgmma_sm90a_dq, d)(const __grid_constant__ BoxedAttention x) {   \
    wgmma_sm90a::dq<EntryElement, d>(x);                                                  \
  }                                                                                       \
  extern "C" __global__ void __launch_bounds__(wgmma_sm90a::dkdv_tile(d).threads(), 1)    \
      FLASHBENCH_ENTRY_D(wgmma_sm90a_dkdv, d)(const __grid_constant__ BoxedAttention x) { \
    wgmma_sm90a::dkdv<EntryElement, d>(x);                                                \
  }

FLASHBENCH_BACKWARD(64)
FLASHBENCH_BACKWARD(128)

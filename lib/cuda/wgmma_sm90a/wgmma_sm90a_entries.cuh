#pragma once

#include "cuda/fragments/entry_points.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_layout.h"

// An entry point of the forward, whose consumers are of that type. It has a C name, so that the
// host finds it.
#define FLASHBENCH_FORWARD(Consumer, d)                                                   \
  extern "C" __global__ void __launch_bounds__(                                           \
      flashbench::cuda::wgmma_sm90a::forward_tile(d).threads(), 1)                        \
      FLASHBENCH_ENTRY_D(wgmma_sm90a_forward,                                             \
                         d)(const __grid_constant__ flashbench::cuda::BoxedAttention x) { \
    using namespace flashbench::cuda;                                                     \
    wgmma_sm90a::forward<wgmma_sm90a::Consumer<EntryElement, d>>(x);                      \
  }

// Those of the gradients; of dK and dV, by that function.
#define FLASHBENCH_BACKWARD(dkdv_of, d)                                                   \
  extern "C" __global__ void __launch_bounds__(                                           \
      flashbench::cuda::wgmma_sm90a::dq_tile(d).threads(), 1)                             \
      FLASHBENCH_ENTRY_D(wgmma_sm90a_dq,                                                  \
                         d)(const __grid_constant__ flashbench::cuda::BoxedAttention x) { \
    using namespace flashbench::cuda;                                                     \
    wgmma_sm90a::dq<EntryElement, d>(x);                                                  \
  }                                                                                       \
  extern "C" __global__ void __launch_bounds__(                                           \
      flashbench::cuda::wgmma_sm90a::dkdv_tile(d).threads(), 1)                           \
      FLASHBENCH_ENTRY_D(wgmma_sm90a_dkdv,                                                \
                         d)(const __grid_constant__ flashbench::cuda::BoxedAttention x) { \
    using namespace flashbench::cuda;                                                     \
    wgmma_sm90a::dkdv_of<EntryElement, d>(x);                                             \
  }

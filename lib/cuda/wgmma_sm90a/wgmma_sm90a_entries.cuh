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

// A gradient that has a kernel of its own: dq, dk or dv, which is that Gradient.
#define FLASHBENCH_SPLIT_GRADIENT(gradient, of, d)                                                 \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::wgmma_sm90a::split_gradient_tile( \
                                                   flashbench::cuda::wgmma_sm90a::Gradient::of, d) \
                                                   .threads(),                                     \
                                               1)                                                  \
      FLASHBENCH_ENTRY_D(wgmma_sm90a_##gradient,                                                   \
                         d)(const __grid_constant__ flashbench::cuda::BoxedAttention x) {          \
    using namespace flashbench::cuda;                                                              \
    wgmma_sm90a::split_##gradient<EntryElement, d>(x);                                             \
  }

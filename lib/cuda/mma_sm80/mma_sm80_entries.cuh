#pragma once

#include "cuda/fragments/entry_points.cuh"
#include "cuda/mma_sm80/mma_sm80_layout.h"

// The entry points of this family, a list for each of its files of device code: of the plain
// kernels, and under another name of the general ones. They have C names, so that the host finds
// them.

#define FLASHBENCH_FORWARD(name, variant, d)                                               \
  extern "C" __global__ void __launch_bounds__(                                            \
      flashbench::cuda::mma_sm80::forward_tile(d).threads())                               \
      FLASHBENCH_ENTRY_D(name, d)(const __grid_constant__ flashbench::cuda::Attention a) { \
    using namespace flashbench::cuda;                                                      \
    mma_sm80::forward<EntryElement, d, Variant::variant>(a);                               \
  }
#define FLASHBENCH_FORWARDS(name, variant) \
  FLASHBENCH_FORWARD(name, variant, 32)    \
  FLASHBENCH_FORWARD(name, variant, 64)    \
  FLASHBENCH_FORWARD(name, variant, 96)    \
  FLASHBENCH_FORWARD(name, variant, 128)   \
  FLASHBENCH_FORWARD(name, variant, 192)   \
  FLASHBENCH_FORWARD(name, variant, 256)

#define FLASHBENCH_DQ(name, variant, d)                                                          \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::mma_sm80::dq_tile(d).threads()) \
      FLASHBENCH_ENTRY_D(name, d)(const __grid_constant__ flashbench::cuda::Attention a) {       \
    using namespace flashbench::cuda;                                                            \
    mma_sm80::dq<EntryElement, d, Variant::variant>(a);                                          \
  }
#define FLASHBENCH_DQS(name, variant) \
  FLASHBENCH_DQ(name, variant, 32)    \
  FLASHBENCH_DQ(name, variant, 64)    \
  FLASHBENCH_DQ(name, variant, 96)    \
  FLASHBENCH_DQ(name, variant, 128)   \
  FLASHBENCH_DQ(name, variant, 192)   \
  FLASHBENCH_DQ(name, variant, 256)

#define FLASHBENCH_KV(name, variant, what, d)                                                \
  extern "C" __global__ void __launch_bounds__(                                              \
      flashbench::cuda::mma_sm80::dkdv_tile(d, flashbench::cuda::mma_sm80::KvGradient::what) \
          .threads())                                                                        \
      FLASHBENCH_ENTRY_D(name, d)(const __grid_constant__ flashbench::cuda::Attention a) {   \
    using namespace flashbench::cuda;                                                        \
    mma_sm80::dkdv<EntryElement, d, mma_sm80::KvGradient::what, Variant::variant>(a);        \
  }
/// Both gradients at once where they fit into registers, else each by a kernel of its own.
#define FLASHBENCH_KVS(both, keys, values, variant) \
  FLASHBENCH_KV(both, variant, kBoth, 32)           \
  FLASHBENCH_KV(both, variant, kBoth, 64)           \
  FLASHBENCH_KV(both, variant, kBoth, 96)           \
  FLASHBENCH_KV(both, variant, kBoth, 128)          \
  FLASHBENCH_KV(keys, variant, kKeys, 192)          \
  FLASHBENCH_KV(keys, variant, kKeys, 256)          \
  FLASHBENCH_KV(values, variant, kValues, 192)      \
  FLASHBENCH_KV(values, variant, kValues, 256)

#pragma once

#include "cuda/fragments/entry_points.cuh"
#include "cuda/mma_sm80/mma_sm80_layout.h"

// The entry points of this family, a list for each of its files of device code: of the plain
// kernels, and under another name of the general ones. They have C names, so that the host finds
// them.

#define FLASHBENCH_FORWARD(name, argument, variant, d)                                    \
  extern "C" __global__ void __launch_bounds__(                                           \
      flashbench::cuda::mma_sm80::forward_tile(d).threads())                              \
      FLASHBENCH_ENTRY_D(name, d)(const __grid_constant__ flashbench::cuda::argument x) { \
    using namespace flashbench::cuda;                                                     \
    mma_sm80::forward<EntryElement, d, Variant::variant>(x);                              \
  }
#define FLASHBENCH_FORWARDS(name, argument, variant) \
  FLASHBENCH_FORWARD(name, argument, variant, 32)    \
  FLASHBENCH_FORWARD(name, argument, variant, 64)    \
  FLASHBENCH_FORWARD(name, argument, variant, 96)    \
  FLASHBENCH_FORWARD(name, argument, variant, 128)   \
  FLASHBENCH_FORWARD(name, argument, variant, 192)   \
  FLASHBENCH_FORWARD(name, argument, variant, 256)

#define FLASHBENCH_DQ(name, argument, variant, d)                                                \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::mma_sm80::dq_tile(d).threads()) \
      FLASHBENCH_ENTRY_D(name, d)(const __grid_constant__ flashbench::cuda::argument x) {        \
    using namespace flashbench::cuda;                                                            \
    mma_sm80::dq<EntryElement, d, Variant::variant>(x);                                          \
  }
#define FLASHBENCH_DQS(name, argument, variant) \
  FLASHBENCH_DQ(name, argument, variant, 32)    \
  FLASHBENCH_DQ(name, argument, variant, 64)    \
  FLASHBENCH_DQ(name, argument, variant, 96)    \
  FLASHBENCH_DQ(name, argument, variant, 128)   \
  FLASHBENCH_DQ(name, argument, variant, 192)   \
  FLASHBENCH_DQ(name, argument, variant, 256)

#define FLASHBENCH_KV(name, argument, variant, what, d)                                      \
  extern "C" __global__ void __launch_bounds__(                                              \
      flashbench::cuda::mma_sm80::dkdv_tile(d, flashbench::cuda::mma_sm80::KvGradient::what) \
          .threads())                                                                        \
      FLASHBENCH_ENTRY_D(name, d)(const __grid_constant__ flashbench::cuda::argument x) {    \
    using namespace flashbench::cuda;                                                        \
    mma_sm80::dkdv<EntryElement, d, mma_sm80::KvGradient::what, Variant::variant>(x);        \
  }
/// Both gradients at once where they fit into registers, else each by a kernel of its own.
#define FLASHBENCH_KVS(both, keys, values, argument, variant) \
  FLASHBENCH_KV(both, argument, variant, kBoth, 32)           \
  FLASHBENCH_KV(both, argument, variant, kBoth, 64)           \
  FLASHBENCH_KV(both, argument, variant, kBoth, 96)           \
  FLASHBENCH_KV(both, argument, variant, kBoth, 128)          \
  FLASHBENCH_KV(keys, argument, variant, kKeys, 192)          \
  FLASHBENCH_KV(keys, argument, variant, kKeys, 256)          \
  FLASHBENCH_KV(values, argument, variant, kValues, 192)      \
  FLASHBENCH_KV(values, argument, variant, kValues, 256)

/// A kernel of d = 257 to 512.
#define FLASHBENCH_SPLIT(name, kernel, argument, variant, d)                              \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::mma_sm80::kSplitThreads) \
      FLASHBENCH_ENTRY_D(name, d)(const __grid_constant__ flashbench::cuda::argument x) { \
    using namespace flashbench::cuda;                                                     \
    mma_sm80::kernel<EntryElement, d, Variant::variant>(x);                               \
  }
#define FLASHBENCH_SPLITS(name, kernel)                                   \
  FLASHBENCH_SPLIT(name, kernel, Attention, kPlain, 384)                  \
  FLASHBENCH_SPLIT(name, kernel, Attention, kPlain, 512)                  \
  FLASHBENCH_SPLIT(name##_general, kernel, Attention, kGeneral, 384)      \
  FLASHBENCH_SPLIT(name##_general, kernel, Attention, kGeneral, 512)      \
  FLASHBENCH_SPLIT(name##_ragged, kernel, RaggedAttention, kGeneral, 384) \
  FLASHBENCH_SPLIT(name##_ragged, kernel, RaggedAttention, kGeneral, 512)

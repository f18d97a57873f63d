#include "cuda/decode_sm80/decode_sm80_forward.cuh"
#include "cuda/fragments/entry_points.cuh"

using namespace flashbench::cuda;  // entry points have C names, so that the host finds them

#define FLASHBENCH_DECODE(d)                                                            \
  extern "C" __global__ void __launch_bounds__(32 * decode_sm80::kMostWarps, 1)         \
      FLASHBENCH_ENTRY_D(decode_sm80_forward, d)(const __grid_constant__ Attention a) { \
    decode_sm80::forward<EntryElement, decode_sm80::Tile{d}>(a);                        \
  }

FLASHBENCH_DECODE(32)
FLASHBENCH_DECODE(64)
FLASHBENCH_DECODE(96)
FLASHBENCH_DECODE(128)
FLASHBENCH_DECODE(192)
FLASHBENCH_DECODE(256)

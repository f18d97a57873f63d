#include "cuda/decode_sm80/decode_sm80_forward.cuh"
#include "cuda/fragments/entry_points.cuh"

using namespace flashbench::cuda;  // entry points have C names, so that the host finds them

// Any number of blocks of `rows` query rows a K/V head; what decode_sm80::tile_of() names.
#define FLASHBENCH_DECODE_BLOCKS(rows, d)                                                          \
  extern "C" __global__ void __launch_bounds__(32 * decode_sm80::kMostWarps, 1)                    \
      FLASHBENCH_ENTRY_D(decode_sm80_forward_rows##rows, d)(const __grid_constant__ Attention a) { \
    decode_sm80::forward<EntryElement, decode_sm80::Tile{d, rows / decode_sm80::kRows,             \
                                                         decode_sm80::Blocks::kMany}>(a);          \
  }

FLASHBENCH_DECODE_BLOCKS(32, 32)
FLASHBENCH_DECODE_BLOCKS(32, 64)
FLASHBENCH_DECODE_BLOCKS(32, 96)
FLASHBENCH_DECODE_BLOCKS(32, 128)
FLASHBENCH_DECODE_BLOCKS(16, 192)
FLASHBENCH_DECODE_BLOCKS(16, 256)

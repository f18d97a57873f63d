#include "cuda/mma_sm80/mma_sm80_entries.cuh"
#include "cuda/mma_sm80/mma_sm80_forward.cuh"

FLASHBENCH_FORWARDS(mma_sm80_forward, Attention, kPlain)

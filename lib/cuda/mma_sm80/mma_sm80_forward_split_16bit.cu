#include "cuda/mma_sm80/mma_sm80_entries.cuh"
#include "cuda/mma_sm80/mma_sm80_forward_split.cuh"

FLASHBENCH_SPLITS(mma_sm80_forward, forward_split)

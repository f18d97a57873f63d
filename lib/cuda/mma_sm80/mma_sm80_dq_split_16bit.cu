#include "cuda/mma_sm80/mma_sm80_backward_split.cuh"
#include "cuda/mma_sm80/mma_sm80_entries.cuh"

FLASHBENCH_SPLITS(mma_sm80_dq, dq_split)

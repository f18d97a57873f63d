#include "cuda/mma_sm80/mma_sm80_dq.cuh"
#include "cuda/mma_sm80/mma_sm80_entries.cuh"

FLASHBENCH_DQS(mma_sm80_dq_general, Attention, kGeneral)

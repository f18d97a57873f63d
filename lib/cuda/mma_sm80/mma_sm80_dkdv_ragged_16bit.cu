#include "cuda/mma_sm80/mma_sm80_dkdv.cuh"
#include "cuda/mma_sm80/mma_sm80_entries.cuh"

FLASHBENCH_KVS(mma_sm80_dkdv_ragged, mma_sm80_dk_ragged, mma_sm80_dv_ragged, RaggedAttention,
               kGeneral)

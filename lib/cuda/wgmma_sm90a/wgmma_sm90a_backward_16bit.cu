#include "cuda/wgmma_sm90a/wgmma_sm90a_backward.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_entries.cuh"

FLASHBENCH_BACKWARD(dkdv, 64)
FLASHBENCH_BACKWARD(dkdv, 128)

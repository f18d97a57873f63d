#include "cuda/wgmma_sm90a/wgmma_sm90a_backward_wide.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_entries.cuh"

FLASHBENCH_BACKWARD(wide_dkdv, 192)
FLASHBENCH_BACKWARD(wide_dkdv, 256)

#include "cuda/wgmma_sm90a/wgmma_sm90a_backward_split.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_entries.cuh"

FLASHBENCH_SPLIT_GRADIENT(dq, kDq, 384)
FLASHBENCH_SPLIT_GRADIENT(dk, kDk, 384)
FLASHBENCH_SPLIT_GRADIENT(dv, kDv, 384)
FLASHBENCH_SPLIT_GRADIENT(dq, kDq, 512)
FLASHBENCH_SPLIT_GRADIENT(dk, kDk, 512)
FLASHBENCH_SPLIT_GRADIENT(dv, kDv, 512)

#include "cuda/wgmma_sm90a/wgmma_sm90a_entries.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_forward.cuh"

FLASHBENCH_FORWARD(Consumer, 64)
FLASHBENCH_FORWARD(Consumer, 128)
FLASHBENCH_FORWARD(Consumer, 192)
FLASHBENCH_FORWARD(Consumer, 256)

#include "cuda/wgmma_sm90a/wgmma_sm90a_entries.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_forward_split.cuh"

FLASHBENCH_FORWARD(SplitConsumer, 384)
FLASHBENCH_FORWARD(SplitConsumer, 512)

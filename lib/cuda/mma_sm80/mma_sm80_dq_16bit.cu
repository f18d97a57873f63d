#include "cuda/mma_sm80/mma_sm80_delta.cuh"
#include "cuda/mma_sm80/mma_sm80_dq.cuh"
#include "cuda/mma_sm80/mma_sm80_entries.cuh"

using namespace flashbench::cuda;

extern "C" __global__ void __launch_bounds__(mma_sm80::kDeltaThreads)
    FLASHBENCH_ENTRY(mma_sm80_delta)(const __grid_constant__ Attention a) {
  mma_sm80::delta<EntryElement>(a);
}

FLASHBENCH_DQS(mma_sm80_dq, Attention, kPlain)

#include "cuda/fragments/sinks.cuh"

using namespace flashbench::cuda;  // entry points have C names, so that the host finds them

extern "C" __global__ void __launch_bounds__(kSinkThreads)
    mma_sm80_dsinks(const __grid_constant__ Attention a) {
  fragments::sink_gradient(a);
}
extern "C" __global__ void __launch_bounds__(kSinkThreads)
    mma_sm80_dsinks_ragged(const __grid_constant__ RaggedAttention x) {
  fragments::sink_gradient(x);
}

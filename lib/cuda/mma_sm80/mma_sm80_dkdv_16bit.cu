#include "cuda/fragments/entry_points.cuh"
#include "cuda/mma_sm80/mma_sm80_dkdv.cuh"

using namespace flashbench::cuda;  // entry points have C names, so that the host finds them

#define FLASHBENCH_KV(name, what, d)                                                 \
  extern "C" __global__ void __launch_bounds__(                                      \
      mma_sm80::dkdv_tile(d, mma_sm80::KvGradient::what).threads())                  \
      FLASHBENCH_ENTRY_D(mma_sm80_##name, d)(const __grid_constant__ Attention a) {  \
    mma_sm80::dkdv<EntryElement, d, mma_sm80::KvGradient::what, Variant::kPlain>(a); \
  }

FLASHBENCH_KV(dkdv, kBoth, 32)
FLASHBENCH_KV(dkdv, kBoth, 64)
FLASHBENCH_KV(dkdv, kBoth, 96)
FLASHBENCH_KV(dkdv, kBoth, 128)
FLASHBENCH_KV(dk, kKeys, 192)
FLASHBENCH_KV(dk, kKeys, 256)
FLASHBENCH_KV(dv, kValues, 192)
FLASHBENCH_KV(dv, kValues, 256)

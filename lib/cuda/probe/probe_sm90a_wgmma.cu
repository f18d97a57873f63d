#include "cuda/contract/probe_argument.h"
#include "cuda/probe/probe_numbers.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_layout.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a_products.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_ptx.cuh"

// The rate of wgmma.m64n256k16 with f32 sums, the largest one there is: A from registers, so that
// shared memory is read for B alone, 8 KB in the 128 cycles of a product: half of what it can give.
// Two warpgroups on a multiprocessor: while one is between two groups of products, the other one's
// keep the tensor cores busy.
namespace flashbench::cuda {
namespace {

using namespace wgmma_sm90a;

constexpr int kDepth = 16 * kWgmmaSlices;  ///< rows of B
constexpr int kPairs = kDepth * kWgmmaColumns / 2;

struct alignas(kSwizzlePeriod) Right {
  std::uint32_t pairs[kPairs];
};

/// What threads stored to shared memory becomes visible to wgmma, which reads it through the async
/// proxy.
__device__ __forceinline__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
}

/// The compiler moves nothing that reads the sums up past this (CUTLASS: warpgroup_fence_operand).
__device__ __forceinline__ void fence_operand(float (&sums)[kWgmmaColumns / 8][4]) {
#pragma unroll
  for (auto& tile : sums)
#pragma unroll
    for (float& sum : tile) asm volatile("" : "+f"(sum)::"memory");
}

/// Adds A·B slice by slice and then subtracts it again, so that the sums neither grow nor overflow,
/// however often that is repeated: power depends on how many bits change.
template <typename T>
__device__ void multiply(const ProbeArgument& a, Format16 format) {
  __shared__ Right right;
  std::uint32_t seed = blockIdx.x * kPairs + a.repeats;
  for (int i = static_cast<int>(threadIdx.x); i < kPairs; i += kProbeThreads)
    right.pairs[i] = random_pair(seed + i, format);
  seed = ~((blockIdx.x * kProbeThreads + threadIdx.x) * 64 + a.repeats);
  std::uint32_t left[kWgmmaSlices][4], negative[kWgmmaSlices][4];
#pragma unroll
  for (int k = 0; k < kWgmmaSlices; ++k)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      left[k][i] = random_pair(seed++, format);
      negative[k][i] = left[k][i] ^ 0x80008000u;
    }
  fence_proxy_async();
  const std::uint64_t b = operand(static_cast<std::uint32_t>(__cvta_generic_to_shared(right.pairs)),
                                  tile_bytes(kBoxColumns, kDepth));
  float sums[kWgmmaColumns / 8][4] = {};
  int repeat = 0;
  // do, not while: where the loop may be skipped, its exit merges two versions of the sums by
  // copies while products are still in flight, and ptxas then serialises all wgmma (C7514).
#pragma unroll 1
  do {
    begin_products();
#pragma unroll
    for (int k = 0; k < kWgmmaSlices; ++k)
      multiply_from_registers<T, kWgmmaColumns>(sums, left[k],
                                                advanced(b, tile_bytes(kBoxColumns, 16 * k)));
#pragma unroll
    for (int k = 0; k < kWgmmaSlices; ++k)
      multiply_from_registers<T, kWgmmaColumns>(sums, negative[k],
                                                advanced(b, tile_bytes(kBoxColumns, 16 * k)));
    commit_products();
    wait_for_products<1>();
  } while (++repeat < a.repeats);
  wait_for_products<0>();
  fence_operand(sums);
  int bits = 0;
#pragma unroll
  for (const auto& tile : sums)
#pragma unroll
    for (const float sum : tile) bits += __float_as_int(sum);
  if (bits == a.never) *a.sink = bits;
}

}  // namespace
}  // namespace flashbench::cuda

extern "C" __global__ void __launch_bounds__(flashbench::cuda::kProbeThreads, 1)
    probe_sm90a_wgmma_bf16(const __grid_constant__ flashbench::cuda::ProbeArgument a) {
  flashbench::cuda::multiply<flashbench::cuda::wgmma_sm90a::Bf16>(a, flashbench::cuda::kBf16Format);
}

extern "C" __global__ void __launch_bounds__(flashbench::cuda::kProbeThreads, 1)
    probe_sm90a_wgmma_f16(const __grid_constant__ flashbench::cuda::ProbeArgument a) {
  flashbench::cuda::multiply<flashbench::cuda::wgmma_sm90a::F16>(a, flashbench::cuda::kF16Format);
}

#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/rows.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_layout.h"

using namespace flashbench::cuda;  // the entry point has a C name, so that the host finds it

namespace {

/// A row of `to`: the row of `from` where kept key i lies, or zeros beyond the last one.
__device__ void copy_row(const Attention& a, const Rows& to, const Rows& from, int b, int h,
                         int i) {
  const fragments::HeadRows source = fragments::key_rows(a, from, b, h);
  const fragments::HeadRows target = fragments::key_rows(a, to, b, h);
  fragments::Bits* const row = target.data + target.stride * i;
#pragma unroll 1
  for (int d = fragments::lane() * fragments::kChunk; d < a.d; d += 32 * fragments::kChunk)
    *reinterpret_cast<uint4*>(row + d) =
        i < source.count ? *reinterpret_cast<const uint4*>(source.row(i) + d) : uint4{};
}

}  // namespace

/// K and V with their kept rows at the front, a warp a row. TMA moves boxes of neighbouring
/// rows; this one pass over K and V is what a padding mask costs, and hidden keys cost
/// nothing afterwards.
extern "C" __global__ void __launch_bounds__(wgmma_sm90a::kPackThreads)
    wgmma_sm90a_pack(const __grid_constant__ Attention a) {
  const int row =
      static_cast<int>(blockIdx.x) * (wgmma_sm90a::kPackThreads / 32) + fragments::warp();
  const int head = row / a.kv_len, i = row % a.kv_len;
  if (head >= a.b * a.h_kv) return;
  copy_row(a, a.packed_k, a.k, head / a.h_kv, head % a.h_kv, i);
  copy_row(a, a.packed_v, a.v, head / a.h_kv, head % a.h_kv, i);
}

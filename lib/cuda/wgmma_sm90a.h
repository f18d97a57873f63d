#pragma once

#include "cuda/family.h"
#include "cuda/kernels/wgmma_sm90a_layout.h"
#include "cuda/mma_sm80.h"

// wgmma_sm90a: bf16 and f16 on compute capability 9.0, the forward by what that one alone has: wgmma,
// the copy engine, registers that move between warpgroups. Gradients are those of mma_sm80. See
// kernels/wgmma_sm90a_*.cuh for the algorithm and wgmma_sm90a_layout.h for the tiles.
namespace flashbench::cuda::wgmma_sm90a {

constexpr std::size_t shared_bytes(Pass pass, std::int64_t d) {
  const std::size_t forward = forward_shared_bytes(padded_head_dim(static_cast<int>(d)));
  const std::size_t backward = pass == Pass::kForward ? 0 : mma_sm80::shared_bytes(pass, d);
  return forward > backward ? forward : backward;
}

std::vector<Launch> forward(const Extent& e);

inline constexpr KernelFamily kFamily = {
    .name = "wgmma_sm90a",
    .description = "FlashAttention-3's forward: wgmma, TMA, a producer warpgroup; gradients of mma_sm80",
    .bf16 = true,
    .f16 = true,
    .max_d = kMaxHeadDim,
    .min_capability = 90,
    .max_capability = 90,
    .boxed = true,
    .shared_bytes = shared_bytes,
    .forward = forward,
    .backward = mma_sm80::backward,
    .dq_sums_bytes = mma_sm80::no_scratch,
};

}  // namespace flashbench::cuda::wgmma_sm90a

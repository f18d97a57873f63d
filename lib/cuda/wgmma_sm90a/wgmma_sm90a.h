#pragma once

#include <algorithm>

#include "cuda/contract/family.h"
#include "cuda/mma_sm80/mma_sm80.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a_layout.h"

// wgmma_sm90a: bf16 and f16 by what compute capability 9.0 alone has: wgmma, TMA, and registers
// that are moved from one warpgroup to another (setmaxnreg). See wgmma_sm90a_*.cuh for the
// algorithms and wgmma_sm90a_layout.h for the tiles.
namespace flashbench::cuda::wgmma_sm90a {

constexpr std::size_t gradients_shared_bytes(int d) {
  if (d <= kMaxJointGradientDim)
    return std::max(gradient_shared_bytes(d, dq_tile(d)), gradient_shared_bytes(d, dkdv_tile(d)));
  return std::max({split_gradient_shared_bytes(Gradient::kDq, d),
                   split_gradient_shared_bytes(Gradient::kDk, d),
                   split_gradient_shared_bytes(Gradient::kDv, d)});
}

constexpr std::size_t shared_bytes(Pass pass, std::int64_t d) {
  const int padded = padded_head_dim(static_cast<int>(d));
  const std::size_t forward = forward_shared_bytes(padded);
  return pass == Pass::kForward ? forward : std::max(forward, gradients_shared_bytes(padded));
}

/// The forward's tile scheduler: a counter of the blocks taken beyond each CTA's first.
inline std::size_t workspace_bytes(const Extent&) { return sizeof(std::int32_t); }
std::vector<Launch> forward(const Extent& e);
std::vector<Launch> backward(const Extent& e);

inline constexpr KernelFamily kFamily = {
    .name = "wgmma_sm90a",
    .description = "FlashAttention-3: wgmma, TMA, a producer warpgroup; on 9.0 alone, d up to 512",
    .supports = {.features = {Feature::kGradients, Feature::kCausal, Feature::kKeyMask,
                              Feature::kWindow},
                 .dtypes = {Dtype::kBf16, Dtype::kF16},
                 .max_d = kMaxHeadDim},
    .min_capability = 90,
    .max_capability = 90,
    .boxed = true,
    .shared_bytes = shared_bytes,
    .workspace_bytes = workspace_bytes,
    .forward = forward,
    .backward = backward,
};

}  // namespace flashbench::cuda::wgmma_sm90a

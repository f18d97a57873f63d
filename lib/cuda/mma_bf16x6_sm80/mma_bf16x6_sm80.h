#pragma once

#include "cuda/contract/family.h"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80_layout.h"

// mma_bf16x6_sm80: f32 on the tensor cores of compute capability 8.0 and later, by six products of
// bf16. Nearly f32, and only where --f32_math asks for it. See mma_bf16x6_sm80_products.cuh.
namespace flashbench::cuda::mma_bf16x6_sm80 {

constexpr std::size_t shared_bytes(Pass pass, std::int64_t d) {
  const int padded = padded_head_dim(static_cast<int>(d));
  std::size_t most = forward_shared_bytes(padded);
  if (pass == Pass::kForward) return most;
  for (const std::size_t bytes : {dq_shared_bytes(padded), dkdv_shared_bytes(padded)})
    most = bytes > most ? bytes : most;
  return most;
}

std::vector<Launch> forward(const Extent& e);
std::vector<Launch> backward(const Extent& e);

inline constexpr KernelFamily kFamily = {
    .name = "mma_bf16x6_sm80",
    .description = "f32 as six bf16 products of operands split in three: mma.sync; d up to 128",
    .supports = {.features = {Feature::kBf16x6, Feature::kGradients, Feature::kCausal,
                              Feature::kKeyMask, Feature::kWindow},
                 .dtypes = {Dtype::kF32},
                 .max_d = kMaxHeadDim,
                 .only_for = {Feature::kBf16x6}},
    .min_capability = 80,
    .shared_bytes = shared_bytes,
    .forward = forward,
    .backward = backward,
};

}  // namespace flashbench::cuda::mma_bf16x6_sm80

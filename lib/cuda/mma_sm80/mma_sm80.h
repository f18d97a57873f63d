#pragma once

#include "cuda/contract/family.h"
#include "cuda/mma_sm80/mma_sm80_layout.h"

// mma_sm80: bf16 and f16 on the tensor cores of compute capability 8.0 and later. See
// mma_sm80_*.cuh for the algorithms and mma_sm80_layout.h for the tiles.
namespace flashbench::cuda::mma_sm80 {

constexpr std::size_t shared_bytes(Pass pass, std::int64_t d) {
  const int padded = padded_head_dim(static_cast<int>(d));
  std::size_t most = forward_shared_bytes(padded);
  if (pass == Pass::kForward) return most + kSequenceBytes;
  const auto at_least = [&](std::size_t bytes) { most = bytes > most ? bytes : most; };
  at_least(dq_shared_bytes(padded));
  if (joint_dkdv(padded)) {
    at_least(dkdv_shared_bytes(padded, KvGradient::kBoth));
  } else {
    at_least(dkdv_shared_bytes(padded, KvGradient::kKeys));
    at_least(dkdv_shared_bytes(padded, KvGradient::kValues));
  }
  return most + kSequenceBytes;
}

/// D = rowsum(dO∘O), the first launch of the backward.
Launch delta(const Extent& e);
std::vector<Launch> forward(const Extent& e);
std::vector<Launch> backward(const Extent& e);

inline constexpr KernelFamily kFamily = {
    .name = "mma_sm80",
    .description = "FlashAttention-2 on tensor cores: mma.sync, ldmatrix, cp.async; d up to 512",
    .supports = {.features = {Feature::kGradients, Feature::kCausal, Feature::kKeyMask,
                              Feature::kWindow, Feature::kSoftcap, Feature::kAlibi, Feature::kSinks,
                              Feature::kRagged, Feature::kValueDim},
                 .dtypes = {Dtype::kBf16, Dtype::kF16},
                 .max_d = kMaxHeadDim},
    .min_capability = 80,
    .shared_bytes = shared_bytes,
    .forward = forward,
    .backward = backward,
};

}  // namespace flashbench::cuda::mma_sm80

#pragma once

#include "cuda/contract/family.h"

// normal_cublas: normal attention as a strong baseline. Its products go through cuBLAS; scale, mask
// and softmax, and the gradient of the scores, are one fused pass each. See
// simt_normal_*.cu.
namespace flashbench::cuda::normal_cublas {

/// Static shared memory of a block: what its warps exchange for a maximum and a sum.
constexpr std::size_t shared_bytes(Pass, std::int64_t) { return 64; }

std::vector<Launch> forward(const Extent& e);
std::vector<Launch> backward(const Extent& e);

inline constexpr KernelFamily kFamily = {
    .name = "normal_cublas",
    .description = "S, P, dP and dS in memory; products by cuBLAS, fused mask and softmax; any d",
    .type = AttentionType::kNormal,
    .supports = {.features = {Feature::kGradients, Feature::kCausal, Feature::kKeyMask,
                              Feature::kWindow, Feature::kSoftcap, Feature::kAlibi, Feature::kSinks,
                              Feature::kRagged, Feature::kValueDim},
                 .dtypes = {Dtype::kF32, Dtype::kBf16, Dtype::kF16},
                 .max_d = 1024},
    .min_capability = 75,
    .shared_bytes = shared_bytes,
    .forward = forward,
    .backward = backward,
};

}  // namespace flashbench::cuda::normal_cublas

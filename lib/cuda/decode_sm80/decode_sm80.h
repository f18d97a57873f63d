#pragma once

#include "cuda/contract/family.h"
#include "cuda/decode_sm80/decode_sm80_layout.h"

// decode_sm80: the forward pass of few queries, bf16 and f16, on the tensor cores of compute
// capability 8.0 and later. See decode_sm80_*.cuh for the algorithm, decode_sm80_layout.h for the
// sizes.
namespace flashbench::cuda::decode_sm80 {

/// With the fewest warps; a launch has as many as the device has shared memory for.
constexpr std::size_t least_shared_bytes(Pass, std::int64_t d) {
  return shared_bytes(padded_head_dim(static_cast<int>(d)), kFewestWarps);
}

std::vector<Launch> forward(const Extent& e);
std::size_t workspace_bytes(const Extent& e);

inline constexpr KernelFamily kFamily = {
    .name = "decode_sm80",
    .description =
        "FlashDecoding for up to 16 query rows a K/V head: equal shares of all keys, "
        "mma.sync, cp.async; forward, d up to 256",
    .supports = {.features = {Feature::kCausal, Feature::kKeyMask, Feature::kWindow},
                 .dtypes = {Dtype::kBf16, Dtype::kF16},
                 .max_d = kMaxHeadDim},
    .min_capability = 80,
    .max_rows = kRows,
    .shared_bytes = least_shared_bytes,
    .workspace_bytes = workspace_bytes,
    .forward = forward,
};

}  // namespace flashbench::cuda::decode_sm80

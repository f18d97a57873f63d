#pragma once

#include "cuda/contract/family.h"
#include "cuda/simt_f32/simt_f32_layout.h"

// simt_f32: ordinary f32 multiply-adds on any dtype; the family that always works. See
// simt_f32_*.cu for the algorithms.
namespace flashbench::cuda::simt_f32 {

/// Dynamic, of the launch that takes most.
constexpr std::size_t shared_bytes(Pass pass, std::int64_t d) {
  const std::size_t queries = simt::query_shape(simt::padded_d(d)).shared_bytes();
  const std::size_t keys = simt::key_shape(simt::padded_d(d)).shared_bytes();
  return pass == Pass::kForward || queries > keys ? queries : keys;
}
static_assert(shared_bytes(Pass::kBoth, 64) <= 65536 && shared_bytes(Pass::kBoth, 128) <= 65536 &&
                  shared_bytes(Pass::kBoth, 256) <= 65536 &&
                  shared_bytes(Pass::kBoth, 1024) <= 65536,
              "compute capability 7.5 gives a block 64 KB");

/// D = rowsum(dO∘O), the first launch of the backward.
Launch delta(const Extent& e);
std::vector<Launch> forward(const Extent& e);
std::vector<Launch> backward(const Extent& e);

inline constexpr KernelFamily kFamily = {
    .name = "simt_f32",
    .description = "tiled, online softmax (FlashAttention-2) in f32 multiply-adds; any d",
    .supports = {.features = {Feature::kGradients, Feature::kCausal, Feature::kKeyMask,
                              Feature::kWindow},
                 .dtypes = {Dtype::kF32, Dtype::kBf16, Dtype::kF16},
                 .max_d = 1024},
    .min_capability = 75,
    .shared_bytes = shared_bytes,
    .forward = forward,
    .backward = backward,
};

}  // namespace flashbench::cuda::simt_f32

#pragma once

#include "cuda/contract/family.h"

// simt_f32: ordinary f32 multiply-adds on any dtype; the family that always works. See
// simt_f32_*.cu for the algorithms.
namespace flashbench::cuda::simt_f32 {

/// The head dimension that the entry points are compiled for: the least one that holds d.
constexpr int padded_d(std::int64_t d) {
  return d <= 64 ? 64 : d <= 128 ? 128 : d <= 256 ? 256 : d <= 512 ? 512 : 1024;
}
/// Queries of a block of the forward and of dQ; keys of a block of dK and dV.
constexpr int query_rows(int padded) { return padded <= 256 ? 64 : 64 * 256 / padded; }
constexpr int key_rows(int padded) { return padded <= 128 ? 64 : padded <= 256 ? 32 : 16; }

/// Static shared memory of a block with that many rows: slices of both factors, or of the values,
/// and a tile of weights. 21 to 36 KB, so that no launch has to opt into more than 48 KB.
constexpr std::size_t shared_bytes_of(int rows) {
  const int factors = (rows + 64) * (32 + 4), values = 64 * (64 + 4), weights = rows * (64 + 4);
  return sizeof(float) * static_cast<std::size_t>((factors > values ? factors : values) + weights);
}
constexpr std::size_t shared_bytes(Pass pass, std::int64_t d) {
  const int padded = padded_d(d);
  const std::size_t queries = shared_bytes_of(query_rows(padded));
  const std::size_t keys = shared_bytes_of(key_rows(padded));
  return pass == Pass::kForward || queries > keys ? queries : keys;
}
static_assert(shared_bytes(Pass::kBoth, 1) == 35840 && shared_bytes(Pass::kBoth, 1024) == 21760,
              "as ptxas reports them");

std::vector<Launch> forward(const Extent& e);
std::vector<Launch> backward(const Extent& e);
constexpr std::size_t no_scratch(const Extent&) { return 0; }

inline constexpr KernelFamily kFamily = {
    .name = "simt_f32",
    .description = "tiled, online softmax (FlashAttention-2) in f32 multiply-adds; any d",
    .supports = {.features = {Feature::kGradients, Feature::kCausal, Feature::kKeyMask},
                 .dtypes = {Dtype::kF32, Dtype::kBf16, Dtype::kF16},
                 .max_d = 1024},
    .min_capability = 75,
    .shared_bytes = shared_bytes,
    .forward = forward,
    .backward = backward,
    .dq_sums_bytes = no_scratch,
};

}  // namespace flashbench::cuda::simt_f32

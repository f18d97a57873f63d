#pragma once

#include <cstdint>

/// What the probes of tensor cores multiply.
namespace flashbench::cuda {

/// The bits of a 16-bit format: of 0.5, and of every digit behind the first.
struct Format16 {
  std::uint32_t half, mantissa;
};
inline constexpr Format16 kBf16Format{0x3f00, 0x007f}, kF16Format{0x3800, 0x03ff};

/// Two numbers of either sign in [0.5, 1): products of zeros would take less power than real ones,
/// and so run at higher clocks.
__device__ __forceinline__ std::uint32_t random_pair(std::uint32_t seed, Format16 format) {
  std::uint32_t x = seed * 0x9e3779b9u;
  x ^= x >> 15;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  return (x & (0x80008000u | format.mantissa | format.mantissa << 16)) | format.half |
         format.half << 16;
}

}  // namespace flashbench::cuda

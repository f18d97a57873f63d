#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

// bf16, f16 and tf32 as bits. Rounding is to nearest, ties to even; NaN becomes the canonical
// 0x7FFF, as the PTX manual says of cvt.
namespace flashbench::ptx {

inline float bf16_to_float(std::uint16_t v) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16);
}

inline std::uint16_t float_to_bf16(float f) {
  const auto u = std::bit_cast<std::uint32_t>(f);
  if ((u & 0x7FFFFFFF) > 0x7F800000) return 0x7FFF;
  return static_cast<std::uint16_t>((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

inline float f16_to_float(std::uint16_t v) {
  const std::uint32_t sign = static_cast<std::uint32_t>(v & 0x8000) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(v & 0x7FFF) << 13;
  if (rest >= 0x7C00u << 13) return std::bit_cast<float>(sign | 0x7F800000 | rest);
  // Scaling by 2^112 rebiases the exponent and is exact for subnormals too.
  const float magnitude = std::bit_cast<float>(rest) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
}

inline std::uint16_t float_to_f16(float f) {
  const auto u = std::bit_cast<std::uint32_t>(f);
  const auto sign = static_cast<std::uint16_t>(u >> 16 & 0x8000);
  const std::uint32_t magnitude = u & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return 0x7FFF;
  if (magnitude >= 0x477FF000) return static_cast<std::uint16_t>(sign | 0x7C00);  // >= 65520
  if (magnitude < 0x38800000) {  // subnormal: adding 0.5 leaves its bits at the bottom, rounded
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000));
  }
  const std::uint32_t rounded = magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1);
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}

/// Rounds to float such that a second rounding to fewer bits gives what one rounding would have:
/// an inexact result gets an odd last bit.
inline float round_to_odd(double v) {
  const float f = static_cast<float>(v);
  if (!std::isfinite(f) || static_cast<double>(f) == v) return f;
  const auto bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 1) != 0) return f;
  const bool away = std::fabs(static_cast<double>(f)) < std::fabs(v);
  return std::bit_cast<float>(away ? bits + 1 : bits - 1);
}

/// a * b + c with one rounding, for operands of 16-bit formats: the product is exact in double, the
/// sum is rounded to odd there and again on the way to float.
inline float fma_to_odd(float a, float b, float c) {
  const double product = static_cast<double>(a) * b;
  const double sum = product + c;
  if (!std::isfinite(sum)) return static_cast<float>(sum);
  const double back = sum - product;
  const double error = (product - (sum - back)) + (static_cast<double>(c) - back);
  if (error == 0) return round_to_odd(sum);
  auto bits = std::bit_cast<std::uint64_t>(sum);
  if ((bits & 1) == 0) bits = (error > 0) == (sum > 0) ? bits + 1 : bits - 1;
  return round_to_odd(std::bit_cast<double>(bits));
}

/// What a tensor core reads of an f32 register as tf32: the low 13 bits are ignored.
inline float truncate_to_tf32(float f) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(f) & 0xFFFFE000u);
}

}  // namespace flashbench::ptx

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/enum_set.h"

namespace flashbench {

enum class Dtype { kF32, kBf16, kF16 };

inline constexpr auto kDtypes = kEnumerators<Dtype>;
using DtypeSet = EnumSet<Dtype>;

constexpr std::string_view name(Dtype t) {
  return t == Dtype::kF32 ? "f32" : t == Dtype::kBf16 ? "bf16" : "f16";
}

constexpr std::size_t size_bytes(Dtype t) { return t == Dtype::kF32 ? 4 : 2; }

constexpr std::optional<Dtype> dtype_from_name(std::string_view text) {
  for (const Dtype t : kDtypes)
    if (text == name(t)) return t;
  return std::nullopt;
}

/// Unit roundoff u: half the distance from 1 to the next number.
constexpr double unit_roundoff(Dtype t) {
  return t == Dtype::kF32 ? 0x1p-24 : t == Dtype::kBf16 ? 0x1p-8 : 0x1p-11;
}

/// 16-bit storage. The conversions below are branch-free where it matters, so that loops over them
/// vectorise; they round to nearest even and keep NaN.
struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

template <typename T>
struct DtypeOf;
template <>
struct DtypeOf<float> {
  static constexpr Dtype value = Dtype::kF32;
};
template <>
struct DtypeOf<Bf16> {
  static constexpr Dtype value = Dtype::kBf16;
};
template <>
struct DtypeOf<F16> {
  static constexpr Dtype value = Dtype::kF16;
};

constexpr float to_f32(float x) { return x; }

constexpr float to_f32(Bf16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

/// Every f16 value is exact in f32. Subnormals are normalised by one exact f32 subtraction.
constexpr float to_f32(F16 x) {
  const std::uint32_t magnitude = x.bits & 0x7fffu;
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t shifted = magnitude << 13;
  const std::uint32_t normal = shifted + (112u << 23);
  const std::uint32_t special = shifted + (224u << 23);  // inf and NaN: exponent becomes 255
  const float subnormal = std::bit_cast<float>(shifted + (113u << 23)) - 0x1p-14f;
  const std::uint32_t bits = magnitude >= 0x7c00u   ? special
                             : magnitude >= 0x0400u ? normal
                                                    : std::bit_cast<std::uint32_t>(subnormal);
  return std::bit_cast<float>(bits | sign);
}

constexpr Bf16 to_bf16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const std::uint32_t nan = (bits >> 16) | 0x40u;  // quiet; the payload's top bits survive
  return {static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded)};
}

constexpr F16 to_f16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  // Normal range: rebias, then round the 13 lost bits to nearest even; carries reach inf by itself.
  const std::uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Below 2^-14: adding 0.5 leaves the f16 subnormal in the low bits, rounded by the f32 adder.
  const std::uint32_t subnormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const std::uint32_t special =
      magnitude > 0x7f800000u ? 0x7e00u | ((magnitude >> 13) & 0x3ffu) : 0x7c00u;
  const std::uint32_t half = magnitude >= 0x47800000u   ? special  // 65536 and beyond
                             : magnitude >= 0x38800000u ? normal
                                                        : subnormal;
  return {static_cast<std::uint16_t>(half | sign)};
}

template <typename T>
constexpr T from_f32(float x) {
  if constexpr (DtypeOf<T>::value == Dtype::kF32)
    return x;
  else if constexpr (DtypeOf<T>::value == Dtype::kBf16)
    return to_bf16(x);
  else
    return to_f16(x);
}

/// Calls f with a value of the element type of `t`: `with_dtype(t, [&](auto zero) { ... })`.
template <typename F>
decltype(auto) with_dtype(Dtype t, F&& f) {
  switch (t) {
    case Dtype::kBf16:
      return f(Bf16{});
    case Dtype::kF16:
      return f(F16{});
    case Dtype::kF32:
    default:
      return f(0.0f);
  }
}

}  // namespace flashbench

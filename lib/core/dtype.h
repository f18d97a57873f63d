#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <type_traits>

#include "core/enum_set.h"

// Everything that the program knows of a dtype. A new one: an enumerator, a row of kDtypeTable, how
// an element is stored and its two conversions. Kernels opt in (Supports::dtypes).
namespace flashbench {

enum class Dtype { kF32, kBf16, kF16, kE4m3, kE5m2 };

using DtypeSet = EnumSet<Dtype>;

struct DtypeRow {
  Dtype dtype;
  std::string_view name;         ///< as flags and reports have it
  std::string_view safetensors;  ///< as .safetensors files have it
  std::string_view npy;          ///< as .npy files have it; empty: they have no such type
  std::size_t bytes;
  double roundoff;  ///< half the distance from 1 to the next number
  double smallest_normal, smallest_subnormal, largest;  ///< finite and positive
  /// K and V may be stored in it, beside a descale of each head; nothing else has this dtype.
  bool only_stored = false;
};

inline constexpr DtypeRow kDtypeTable[] = {
    {Dtype::kF32, "f32", "F32", "<f4", 4, 0x1p-24, 0x1p-126, 0x1p-149, 0x1.fffffep127},
    {Dtype::kBf16, "bf16", "BF16", "", 2, 0x1p-8, 0x1p-126, 0x1p-133, 0x1.fep127},
    {Dtype::kF16, "f16", "F16", "<f2", 2, 0x1p-11, 0x1p-14, 0x1p-24, 65504},
    {Dtype::kE4m3, "e4m3", "F8_E4M3", "", 1, 0x1p-4, 0x1p-6, 0x1p-9, 448, true},
    {Dtype::kE5m2, "e5m2", "F8_E5M2", "", 1, 0x1p-3, 0x1p-14, 0x1p-16, 57344, true},
};

constexpr const DtypeRow& row_of(Dtype t) { return kDtypeTable[static_cast<std::size_t>(t)]; }

static_assert(std::size(kDtypeTable) == kEnumerators<Dtype>.size() &&
                  std::all_of(kEnumerators<Dtype>.begin(), kEnumerators<Dtype>.end(),
                              [](Dtype t) { return row_of(t).dtype == t; }),
              "one row for each dtype, in their order");

constexpr std::string_view name(Dtype t) { return row_of(t).name; }
constexpr std::size_t size_bytes(Dtype t) { return row_of(t).bytes; }
constexpr bool is_only_stored(Dtype t) { return row_of(t).only_stored; }

template <bool kOnlyStored>
constexpr auto list_dtypes() {
  constexpr auto kListed = [](Dtype t) { return is_only_stored(t) == kOnlyStored; };
  constexpr auto& kAll = kEnumerators<Dtype>;
  std::array<Dtype, std::count_if(kAll.begin(), kAll.end(), kListed)> some{};
  std::copy_if(kAll.begin(), kAll.end(), some.begin(), kListed);
  return some;
}
/// What Q, O and gradients may be of, and K and V with them.
inline constexpr auto kDtypes = list_dtypes<false>();
/// What K and V alone may be of.
inline constexpr auto kStoredDtypes = list_dtypes<true>();

/// 16-bit storage. The conversions below are branch-free where it matters, so that loops over them
/// vectorise; they round to nearest even and keep NaN.
struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

/// 8-bit storage (Open Compute Project, "OCP 8-bit Floating Point Specification", 2023). E4m3 has
/// no infinity, and NaN in the last code alone (e4m3fn); E5m2 is the upper half of an f16. What is
/// too large becomes the largest number, infinity included.
struct E4m3 {
  std::uint8_t bits;
};
struct E5m2 {
  std::uint8_t bits;
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

/// As of an f16.
constexpr float to_f32(E4m3 x) {
  const std::uint32_t magnitude = x.bits & 0x7fu;
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x80u) << 24;
  const std::uint32_t shifted = magnitude << 20;
  const std::uint32_t normal = shifted + (120u << 23);
  const float subnormal = std::bit_cast<float>(shifted + (121u << 23)) - 0x1p-6f;
  const std::uint32_t bits = magnitude == 0x7fu   ? 0x7fc00000u
                             : magnitude >= 0x08u ? normal
                                                  : std::bit_cast<std::uint32_t>(subnormal);
  return std::bit_cast<float>(bits | sign);
}

constexpr float to_f32(E5m2 x) { return to_f32(F16{static_cast<std::uint16_t>(x.bits << 8)}); }

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

/// Of that many bits of mantissa and that bias of the exponent; `kLargest`: the code of the largest
/// number. In order of size codes are integers, so that rounding may carry into the exponent.
template <unsigned kMantissa, unsigned kBias, std::uint32_t kLargest>
constexpr std::uint8_t to_8_bits(float x) {
  constexpr std::uint32_t kDropped = 23 - kMantissa, kRebias = (127 - kBias) << 23;
  constexpr std::uint32_t kMost = (kLargest << kDropped) + kRebias;
  constexpr std::uint32_t kSmallestNormal = (128 - kBias) << 23;
  // A number whose last place is the smallest subnormal: the f32 adder rounds to it.
  constexpr std::uint32_t kAdded = (127 + 24 - kBias - kMantissa) << 23;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t magnitude = bits & 0x7fffffffu, sign = (bits >> 24) & 0x80u;
  const std::uint32_t size = magnitude < kMost ? magnitude : kMost;
  const std::uint32_t half = (1u << (kDropped - 1)) - 1 + ((size >> kDropped) & 1u);
  const std::uint32_t normal = (size - kRebias + half) >> kDropped;
  const std::uint32_t subnormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + std::bit_cast<float>(kAdded)) -
      kAdded;
  const std::uint32_t code = magnitude > 0x7f800000u   ? 0x7fu  // NaN
                             : size >= kSmallestNormal ? normal
                                                       : subnormal;
  return static_cast<std::uint8_t>(code | sign);
}

constexpr E4m3 to_e4m3(float x) { return {to_8_bits<3, 7, 0x7e>(x)}; }
constexpr E5m2 to_e5m2(float x) { return {to_8_bits<2, 15, 0x7b>(x)}; }

template <typename T>
constexpr T from_f32(float x);
template <>
constexpr float from_f32<float>(float x) {
  return x;
}
template <>
constexpr Bf16 from_f32<Bf16>(float x) {
  return to_bf16(x);
}
template <>
constexpr F16 from_f32<F16>(float x) {
  return to_f16(x);
}
template <>
constexpr E4m3 from_f32<E4m3>(float x) {
  return to_e4m3(x);
}
template <>
constexpr E5m2 from_f32<E5m2>(float x) {
  return to_e5m2(x);
}

template <typename... Ts>
struct ElementTypes {};
/// How elements are stored, in the order of the dtypes.
using AllElementTypes = ElementTypes<float, Bf16, F16, E4m3, E5m2>;

template <typename T, typename... Ts>
constexpr Dtype dtype_of_element(ElementTypes<Ts...>) {
  constexpr bool kIsT[] = {std::is_same_v<T, Ts>...};
  return static_cast<Dtype>(std::find(std::begin(kIsT), std::end(kIsT), true) - std::begin(kIsT));
}
template <typename T>
inline constexpr Dtype kDtypeOf = dtype_of_element<T>(AllElementTypes{});

template <typename... Ts>
constexpr bool one_for_each_dtype(ElementTypes<Ts...>) {
  return sizeof...(Ts) == kEnumerators<Dtype>.size() &&
         ((sizeof(Ts) == size_bytes(kDtypeOf<Ts>)) && ...);
}
static_assert(one_for_each_dtype(AllElementTypes{}));

/// The dtypes of some types of elements.
template <typename... Ts>
constexpr DtypeSet dtypes_of(ElementTypes<Ts...>) {
  return {kDtypeOf<Ts>...};
}

/// Calls f with a value of the type in which elements of dtype t are stored:
/// `with_dtype(t, [&](auto zero) { ... })`. Code that takes some types only names them; t is then
/// one of those.
template <typename F, typename T, typename... Rest>
constexpr decltype(auto) with_dtype(ElementTypes<T, Rest...>, Dtype t, F&& f) {
  if (t == kDtypeOf<T>) return f(T{});
  if constexpr (sizeof...(Rest) > 0)
    return with_dtype(ElementTypes<Rest...>{}, t, f);
  else
    no_such_enumerator();
}
template <typename F>
constexpr decltype(auto) with_dtype(Dtype t, F&& f) {
  return with_dtype(AllElementTypes{}, t, f);
}

}  // namespace flashbench

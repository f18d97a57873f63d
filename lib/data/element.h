#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <variant>

#include "core/dtype.h"

namespace flashbench::data {

/// What the elements of a stored tensor are where they are no numbers that attention computes with.
enum class OtherElement {
  kU8,    ///< of a mask
  kBool,  ///< of a mask, one byte each
  kI32,   ///< of lengths
  kI64,   ///< likewise
  kUnread
};

/// What the elements of a stored tensor are, as far as attention reads them.
using Element = std::variant<Dtype, OtherElement>;

constexpr std::optional<Dtype> dtype_of(const Element& e) {
  const Dtype* dtype = std::get_if<Dtype>(&e);
  return dtype != nullptr ? std::optional(*dtype) : std::nullopt;
}

/// The same, but for what K and V alone may be stored in.
constexpr std::optional<Dtype> number_dtype_of(const Element& e) {
  const std::optional<Dtype> dtype = dtype_of(e);
  return dtype && !is_only_stored(*dtype) ? dtype : std::nullopt;
}

/// How files spell them.
struct OtherElementRow {
  OtherElement element;
  std::string_view safetensors, npy;
  std::size_t bytes;
};
inline constexpr OtherElementRow kOtherElements[] = {{OtherElement::kU8, "U8", "|u1", 1},
                                                     {OtherElement::kBool, "BOOL", "|b1", 1},
                                                     {OtherElement::kI32, "I32", "<i4", 4},
                                                     {OtherElement::kI64, "I64", "<i8", 8}};

constexpr bool is_mask(const Element& e) {
  return e == Element(OtherElement::kU8) || e == Element(OtherElement::kBool);
}

constexpr std::size_t element_bytes(const Element& e) {
  for (const OtherElementRow& other : kOtherElements)
    if (e == Element(other.element)) return other.bytes;
  const std::optional<Dtype> dtype = dtype_of(e);
  return dtype ? size_bytes(*dtype) : 1;
}

}  // namespace flashbench::data

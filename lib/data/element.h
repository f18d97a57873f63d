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

/// How files spell the elements of a mask.
struct MaskElement {
  OtherElement element;
  std::string_view safetensors, npy;
};
inline constexpr MaskElement kMaskElements[] = {{OtherElement::kU8, "U8", "|u1"},
                                                {OtherElement::kBool, "BOOL", "|b1"}};

constexpr bool is_mask(const Element& e) {
  for (const MaskElement& mask : kMaskElements)
    if (e == Element(mask.element)) return true;
  return false;
}

constexpr std::size_t element_bytes(const Element& e) {
  const std::optional<Dtype> dtype = dtype_of(e);
  return dtype ? size_bytes(*dtype) : 1;
}

}  // namespace flashbench::data

#pragma once

#include <cstdint>

#include "core/shape.h"

namespace flashbench {

/// An extent of a shape, under the name of its flag.
struct NamedExtent {
  const char* name;
  std::int64_t Shape::*member;
};
inline constexpr NamedExtent kExtents[] = {{"b", &Shape::b},           {"h", &Shape::h},
                                           {"h_kv", &Shape::h_kv},     {"q_len", &Shape::q_len},
                                           {"kv_len", &Shape::kv_len}, {"d", &Shape::d}};
inline constexpr const char* kValueDimName = "d_v";  ///< no plain member: it may follow d

}  // namespace flashbench

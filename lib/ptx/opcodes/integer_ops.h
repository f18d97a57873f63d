#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

// What single lanes and reductions over a warp do with two integers.
namespace flashbench::ptx {

/// Arithmetic wraps: it is done on unsigned values of at least 32 bits.
template <class T>
constexpr auto widen(T v) {
  using U = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  return static_cast<U>(v);
}

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(widen(a) + widen(b));
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
};
struct And {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
  }
};
}  // namespace flashbench::ptx

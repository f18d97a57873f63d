#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/enumerators.h"

namespace flashbench {

/// A set of enumerators, as plain data.
template <typename E>
class EnumSet {
  static_assert(kEnumerators<E>.size() <= 64);

 public:
  constexpr EnumSet() = default;
  constexpr EnumSet(std::initializer_list<E> members) {
    for (const E e : members) add(e);
  }
  static constexpr EnumSet all() {
    EnumSet set;
    for (const E e : kEnumerators<E>) set.add(e);
    return set;
  }

  constexpr void add(E e) { bits_ |= bit(e); }
  constexpr void remove(E e) { bits_ &= ~bit(e); }
  constexpr bool has(E e) const { return (bits_ & bit(e)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }

  /// The members that `other` lacks.
  friend constexpr EnumSet operator-(EnumSet set, const EnumSet& other) {
    set.bits_ &= ~other.bits_;
    return set;
  }
  friend constexpr bool operator==(const EnumSet&, const EnumSet&) = default;

 private:
  static constexpr std::uint64_t bit(E e) { return std::uint64_t{1} << static_cast<int>(e); }

  std::uint64_t bits_ = 0;
};

}  // namespace flashbench

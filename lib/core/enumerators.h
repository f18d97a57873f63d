#pragma once

#include <array>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string_view>

// What an enum of ours holds, asked of the compiler: a list beside the enum would be forgotten when
// an enumerator is added. For enums whose values count up from 0.
namespace flashbench {

/// The compiler spells an enumerator by its name, and any other value as a cast: "(Dtype)3".
template <auto kValue>
constexpr bool is_enumerator() {
  const std::string_view spelled = __PRETTY_FUNCTION__;
  return spelled.find("kValue = (") == std::string_view::npos;
}

template <typename E, std::size_t kFrom = 0>
constexpr std::size_t count_enumerators() {
  if constexpr (is_enumerator<static_cast<E>(kFrom)>())
    return count_enumerators<E, kFrom + 1>();
  else
    return kFrom;
}

template <typename E>
constexpr auto list_enumerators() {
  std::array<E, count_enumerators<E>()> all{};
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<E>(i);
  return all;
}

/// Every enumerator of E, in order.
template <typename E>
inline constexpr auto kEnumerators = list_enumerators<E>();

/// The enumerator that name() calls `text`.
template <typename E>
constexpr std::optional<E> from_name(std::string_view text) {
  for (const E e : kEnumerators<E>)
    if (name(e) == text) return e;
  return std::nullopt;
}

/// Ends a function that switches over all enumerators and returns in each case.
[[noreturn]] inline void no_such_enumerator() { std::abort(); }

}  // namespace flashbench

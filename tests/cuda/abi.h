#pragma once

#include <type_traits>

/// The types of functions of a library as the hand-written tables declare them: enumerations are
/// int, pointers to what only the library knows are void*. Comparing those shows that a table still
/// says what the vendor's header says.
namespace flashbench::cuda {

template <typename T>
struct Plain {
  using type = std::conditional_t<std::is_enum_v<T>, int,  //
                                  std::conditional_t<std::is_class_v<T>, void, T>>;
};
template <typename T>
struct Plain<T*> {
  using type = typename Plain<T>::type*;
};
template <typename Returned, typename... Parameters>
struct Plain<Returned(Parameters...)> {
  using type = typename Plain<Returned>::type(typename Plain<Parameters>::type...);
};

template <typename Mine, typename Theirs>
constexpr bool same_abi = std::is_same_v<Mine, typename Plain<Theirs>::type>;

}  // namespace flashbench::cuda

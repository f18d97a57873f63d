#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace flashbench::ptx {

/// Zeros that take this machine's memory where they are touched, and nowhere else.
template <class T>
class LazyZeros {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  LazyZeros() = default;
  /// Throws std::bad_alloc.
  explicit LazyZeros(std::size_t count)
      : first_(static_cast<T*>(std::calloc(std::max<std::size_t>(count, 1), sizeof(T)))) {
    if (first_ == nullptr) throw std::bad_alloc();
  }

  bool empty() const { return first_ == nullptr; }
  T* data() { return first_.get(); }
  const T* data() const { return first_.get(); }
  T& operator[](std::size_t i) { return first_.get()[i]; }

 private:
  struct Free {
    void operator()(T* first) const { std::free(first); }
  };
  std::unique_ptr<T, Free> first_;
};

}  // namespace flashbench::ptx

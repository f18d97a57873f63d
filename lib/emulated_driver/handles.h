#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace flashbench::emulated_driver {

/// A handle that is none, of this kind or any more. Its text says which.
struct InvalidHandle : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What callers hold handles of, of one kind. No handle is given twice, so that one that has ended
/// is known for that. Not thread-safe: see one_at_a_time().
template <typename T>
class Handles {
 public:
  /// "stream", "has been destroyed".
  Handles(std::string_view kind, std::string_view ended) : kind_(kind), ended_(ended) {}

  T* give(T value) {
    auto made = std::make_unique<T>(std::move(value));
    T* const handle = made.get();
    all_[handle] = {std::move(made), true};
    return handle;
  }
  /// Throws InvalidHandle.
  T& at(const void* handle) {
    if (handle == nullptr) throw InvalidHandle(fmt::format("a null pointer is no {}", kind_));
    const auto found = all_.find(handle);
    if (found == all_.end())
      throw InvalidHandle(
          fmt::format("{:#x} is no {}", reinterpret_cast<std::uintptr_t>(handle), kind_));
    if (!found->second.alive) throw InvalidHandle(fmt::format("a {} that {}", kind_, ended_));
    return *found->second.value;
  }
  void end(const void* handle) {
    at(handle);
    all_.at(handle).alive = false;
  }
  /// Of all that there were, those that have ended too: f(value, alive).
  template <typename F>
  void for_each(F f) {
    for (auto& [handle, given] : all_) f(*given.value, given.alive);
  }

 private:
  struct Given {
    std::unique_ptr<T> value;
    bool alive = false;
  };

  std::string_view kind_, ended_;
  std::map<const void*, Given> all_;
};

}  // namespace flashbench::emulated_driver

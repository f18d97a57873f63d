#pragma once

#include <dlfcn.h>

#include <optional>
#include <string>

namespace flashbench::cuda {

/// Fills a table of functions from a library that was opened at run time; remembers the first name
/// that the library lacks and that the table cannot do without.
class Loader {
 public:
  explicit Loader(void* library) : library_(library) {}

  template <typename F>
  void find(F& function, const char* name) {
    find_if_there(function, name);
    if (function == nullptr && missing_.empty()) missing_ = name;
  }
  template <typename F>
  void find_if_there(F& function, const char* name) {
    function = reinterpret_cast<F>(::dlsym(library_, name));
  }
  const std::string& missing() const { return missing_; }

 private:
  void* library_;
  std::string missing_;
};

/// A table that was asked for once, or why there is none.
template <typename Api>
struct Loaded {
  std::optional<Api> api = {};
  std::string absent = {};

  /// nullptr where there is none, and `why` says so.
  const Api* get(std::string& why) const {
    why = absent;
    return api ? &*api : nullptr;
  }
};

}  // namespace flashbench::cuda

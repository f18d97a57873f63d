#pragma once

#include <dlfcn.h>

#include <string>

namespace flashbench::cuda {

/// Fills a table of functions from a library that was opened at run time; remembers the first name
/// that the library lacks.
class Loader {
 public:
  explicit Loader(void* library) : library_(library) {}

  template <typename F>
  void find(F& function, const char* name) {
    function = reinterpret_cast<F>(::dlsym(library_, name));
    if (function == nullptr && missing_.empty()) missing_ = name;
  }
  const std::string& missing() const { return missing_; }

 private:
  void* library_;
  std::string missing_;
};

}  // namespace flashbench::cuda

#include "guest/library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "system/error.h"

namespace flashbench::guest {

std::pair<std::string, std::string> split_name(const std::string& text) {
  std::error_code ignored;
  if (std::filesystem::exists(text, ignored)) return {text, ""};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || text.find('/', colon) != std::string::npos) return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

void* open_library(const std::string& path, const std::string& shown) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    throw UsageError(fmt::format("{}: there is no such file", shown));
  // A path without a slash would be looked for elsewhere.
  const std::string where = std::filesystem::absolute(path, ignored).string();
  void* library = ::dlopen(where.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw UsageError(
        fmt::format("{} is no library that can be loaded here: {}", shown, ::dlerror()));
  return library;
}

}  // namespace flashbench::guest

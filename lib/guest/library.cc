#include "guest/library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <regex>
#include <system_error>

#include "guest/gpu.h"
#include "system/error.h"

namespace flashbench::guest {
namespace {

/// The function of CUDA's driver or runtime for whose lack a library was not loaded; "": it was
/// something else.
std::string missing_of_cuda(const std::string& why) {
  static const std::regex pattern("undefined symbol: ((__)?cu(da)?[A-Z]\\w*)");
  std::smatch found;
  return std::regex_search(why, found, pattern) ? found[1].str() : "";
}

}  // namespace

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
  if (library != nullptr) return library;
  const std::string why = ::dlerror();
  if (const std::string function = missing_of_cuda(why); !function.empty() && on_emulated_driver())
    throw UnavailableError(
        fmt::format("{} needs {}, which the emulated device does not have", shown, function));
  throw UsageError(fmt::format("{} is no library that can be loaded here: {}", shown, why));
}

}  // namespace flashbench::guest

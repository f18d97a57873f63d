#pragma once

#include <string>
#include <utility>

namespace flashbench::guest {

/// "./mine.so:fast" is the file and what is wanted of it, which may be ""; a file may have a colon.
std::pair<std::string, std::string> split_name(const std::string& text);

/// A handle for dlsym(), until the end of the process. Throws UsageError, which begins with
/// `shown`, where there is no such file, or none that can be loaded here, and UnavailableError
/// where it needs a function of CUDA that the emulated device's libraries do not have.
void* open_library(const std::string& path, const std::string& shown);

}  // namespace flashbench::guest

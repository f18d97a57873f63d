#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace flashbench {

/// SHA-256 (FIPS 180-4), in lower-case hexadecimal digits.
std::string sha256_of(std::string_view bytes);

/// The same of what a file holds; `stop_requested` is asked between pieces of it. Throws
/// DeviceError where that says yes, and UsageError,
/// one line: no such file, no regular file, not readable.
std::string sha256_of_file(const std::string& path,
                           const std::function<bool()>& stop_requested = {});

}  // namespace flashbench

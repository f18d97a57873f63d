#pragma once

#include <string>
#include <string_view>

namespace flashbench {

/// SHA-256 (FIPS 180-4), in lower-case hexadecimal digits.
std::string sha256_of(std::string_view bytes);

/// The same of what a file holds. Throws UsageError,
/// one line: no such file, no regular file, not readable.
std::string sha256_of_file(const std::string& path);

}  // namespace flashbench

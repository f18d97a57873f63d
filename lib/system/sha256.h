#pragma once

#include <string>

namespace flashbench {

/// SHA-256 (FIPS 180-4) of what a file holds, in lower-case hexadecimal digits. Throws UsageError,
/// one line: no such file, no regular file, not readable.
std::string sha256_of_file(const std::string& path);

}  // namespace flashbench

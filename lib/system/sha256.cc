#include "system/sha256.h"

#include <sys/types.h>
// Wants what stands above.
#include <sha2.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "system/error.h"

namespace flashbench {

std::string sha256_of(std::string_view bytes) {
  std::array<char, SHA256_DIGEST_STRING_LENGTH> digits{};
  return ::SHA256Data(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                      digits.data());
}

std::string sha256_of_file(const std::string& path, const std::function<bool()>& stop_requested) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found)
    throw UsageError("there is no such file");
  if (error) throw UsageError(error.message());
  // A pipe or a device might never end.
  if (!std::filesystem::is_regular_file(status)) throw UsageError("it is no regular file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UsageError(std::strerror(errno));
  SHA2_CTX context;
  ::SHA256Init(&context);
  std::vector<char> piece(std::size_t{1} << 20);
  while (file) {
    if (stop_requested && stop_requested()) throw DeviceError("interrupted");
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    ::SHA256Update(&context, reinterpret_cast<const std::uint8_t*>(piece.data()),
                   static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) throw UsageError(std::strerror(errno));
  std::array<char, SHA256_DIGEST_STRING_LENGTH> digits{};
  return ::SHA256End(&context, digits.data());
}

}  // namespace flashbench

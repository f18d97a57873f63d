#include "system/text_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "system/error.h"
#include "system/open_file.h"
#include "system/quote.h"

namespace flashbench {

namespace {

/// What lies beside texts, and is named in their place by mistake.
std::string_view what_binary(std::string_view text) {
  if (text.starts_with("\x93NUMPY")) return "it is a .npy array";
  if (text.size() > 8 && text[8] == '{') return "it is a .safetensors file";
  if (text.starts_with("\x1f\x8b")) return "it is compressed with gzip; unpack it";
  if (text.starts_with("PK\x03\x04")) return "it is a ZIP archive; unpack it";
  return "it is binary";
}

}  // namespace

std::string read_text(const TextFile& file) {
  const auto fail = [&](const std::string& why) {
    throw UsageError(
        fmt::format("{}{}{}: {}", file.flag, file.flag.empty() ? "" : " ", escape(file.path), why));
  };
  const int fd = open_file(file.path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) fail(std::strerror(errno));
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};
  struct stat status {};
  if (::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode))
    fail(fmt::format("is a folder; name {}", file.kind));
  std::string text;
  char block[65536];
  while (true) {
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(std::strerror(errno));
    if (got == 0) return text;
    text.append(block, static_cast<std::size_t>(got));
    if (file.nul == Nul::kRefused &&
        std::memchr(block, 0, static_cast<std::size_t>(got)) != nullptr)
      fail(fmt::format("is no {}: {} (a NUL byte at byte {}); name {}", file.noun,
                       what_binary(text), text.find('\0'), file.kind));
    if (text.size() > file.most_bytes)
      fail(fmt::format("larger than {} MiB, which no {} is", file.most_bytes >> 20, file.noun));
  }
}

}  // namespace flashbench

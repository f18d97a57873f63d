#include "system/text_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "system/error.h"
#include "system/open_file.h"
#include "system/quote.h"

namespace flashbench {

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
      fail(fmt::format("has a NUL byte at byte {}, which no {} has", text.find('\0'), file.noun));
    if (text.size() > file.most_bytes)
      fail(fmt::format("larger than {} MiB, which no {} is", file.most_bytes >> 20, file.noun));
  }
}

}  // namespace flashbench

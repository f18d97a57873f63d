#include "system/locked_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <thread>
#include <utility>

#include "system/error.h"
#include "system/quote.h"
#include "system/sha256.h"

namespace flashbench {
namespace {

enum class Lock { kTaken, kElsewhere, kNone };

Lock try_lock(int descriptor) {
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    return errno == EWOULDBLOCK ? Lock::kElsewhere : Lock::kNone;
  }
  return Lock::kTaken;
}

bool has_a_name(int descriptor) {
  struct stat info {};
  return ::fstat(descriptor, &info) == 0 && info.st_nlink > 0;
}

/// Who holds it, as it said itself.
std::string holder(int descriptor) {
  std::array<char, 32> text{};
  const ssize_t got = ::pread(descriptor, text.data(), text.size(), 0);
  if (got <= 0) return "another run";
  return fmt::format("another run (process {})",
                     escape({text.data(), static_cast<std::size_t>(got)}));
}

/// Of another user it can be locked, too.
int open_lock(const std::string& file) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor >= 0 || errno != EACCES) return descriptor;
  return ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/// Temporary files are .flashbench-PID-NUMBER.tmp, locks .flashbench-HASH.lock.
bool is_ours(std::string_view name) {
  constexpr std::string_view kOurs = ".flashbench-", kDigits = "0123456789-";
  if (!name.starts_with(kOurs)) return false;
  name.remove_prefix(kOurs.size());
  const std::size_t dot = name.find('.');
  const std::string_view end = name.substr(std::min(dot, name.size()));
  name = name.substr(0, dot);
  return (end == ".tmp" && name.find_first_not_of(kDigits) == name.npos) ||
         (end == ".lock" && name.find_first_not_of("0123456789abcdef") == name.npos);
}

/// Who looks for what was abandoned holds a lock for a moment.
Lock lock_patiently(int descriptor) {
  constexpr int kTries = 20;
  for (int tried = 1; tried < kTries; ++tried) {
    if (const Lock lock = try_lock(descriptor); lock != Lock::kElsewhere) return lock;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return try_lock(descriptor);
}

}  // namespace

bool lock_new_file(int descriptor) {
  return try_lock(descriptor) != Lock::kElsewhere && has_a_name(descriptor);
}

void remove_abandoned(const std::string& folder) {
  DIR* const entries = ::opendir(folder.c_str());
  if (entries == nullptr) return;
  while (const dirent* entry = ::readdir(entries)) {
    if (!is_ours(entry->d_name)) continue;
    constexpr int kPeek = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    const int descriptor = ::openat(::dirfd(entries), entry->d_name, kPeek);
    if (descriptor < 0) continue;
    struct stat info {};
    if (::fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode) &&
        try_lock(descriptor) == Lock::kTaken)
      ::unlinkat(::dirfd(entries), entry->d_name, 0);
    ::close(descriptor);
  }
  ::closedir(entries);
}

OutputLock::OutputLock(const std::string& path, const std::string& shown) {
  const std::filesystem::path output(path);
  const std::string hash = sha256_of(output.filename().string()).substr(0, 16);
  file_ = (output.parent_path() / fmt::format(".flashbench-{}.lock", hash)).string();
  do {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = open_lock(file_);
    if (descriptor_ < 0) return;
    if (lock_patiently(descriptor_) == Lock::kElsewhere) {
      const std::string who = holder(descriptor_);
      ::close(std::exchange(descriptor_, -1));
      throw UsageError(fmt::format("{}: {} writes it; wait for its end or name another file",
                                   quote(shown), who));
    }
  } while (!has_a_name(descriptor_));  // the one who had it has just removed it
  const std::string self = fmt::format("{}", ::getpid());
  (void)!::ftruncate(descriptor_, 0);
  (void)!::pwrite(descriptor_, self.data(), self.size(), 0);
}

OutputLock::OutputLock(OutputLock&& other) noexcept
    : file_(std::move(other.file_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

OutputLock::~OutputLock() {
  if (descriptor_ < 0) return;
  ::unlink(
      file_.c_str());  // while it is locked: whoever waits for it looks whether it still is one
  ::close(descriptor_);
}

}  // namespace flashbench

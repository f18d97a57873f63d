#include "system/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>

#include "system/error.h"
#include "system/locked_file.h"
#include "system/open_file.h"
#include "system/quote.h"

namespace flashbench {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::generic_category().message(error); }

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw UsageError(fmt::format("cannot write {}: {}", quote(path), why));
}

[[noreturn]] void failed(const std::string& path, const std::string& what, int error) {
  throw DeviceError(fmt::format("{}: {} failed: {}", quote(path), what, reason(error)));
}

std::optional<struct stat> status(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return info;
}

/// /dev/fd and /dev/stdout lead there through links of folders.
bool under_proc(const fs::path& path) {
  std::error_code none;
  return fs::weakly_canonical(path.parent_path(), none).string().starts_with("/proc/");
}

/// Where the chain of symbolic links ends, whether or not something is there. Stops inside /proc,
/// whose links do not name files.
fs::path follow_links(const std::string& path) {
  constexpr int kMostLinks = 40;  // as the kernel does
  fs::path at = path;
  for (int i = 0; i < kMostLinks; ++i) {
    std::error_code none;
    if (under_proc(at) || !fs::is_symlink(at, none)) return at;
    const fs::path next = fs::read_symlink(at, none);
    at = next.is_absolute() ? next : at.parent_path() / next;
  }
  refuse(path, reason(ELOOP));
}

struct Target {
  std::string path;    ///< symbolic links followed
  std::string folder;  ///< of that
  std::optional<struct stat> existing;
  bool direct = false;
};

Target find_target(const std::string& path) {
  if (path.empty()) throw UsageError("cannot write an output with an empty name; name a file");
  Target target;
  target.existing = status(path);
  if (!target.existing && errno != ENOENT) refuse(path, reason(errno));
  if (path.back() == '/' || (target.existing && S_ISDIR(target.existing->st_mode)))
    refuse(path, "it is a folder; name a file in it");
  if (target.existing && S_ISSOCK(target.existing->st_mode)) refuse(path, "it is a socket");
  const fs::path end = follow_links(path);
  target.path = end.string();
  target.folder = end.has_parent_path() ? end.parent_path().string() : ".";
  target.direct = target.existing && (!S_ISREG(target.existing->st_mode) || under_proc(end));
  if (target.direct) return target;

  const std::optional<struct stat> folder = status(target.folder);
  if (!folder && errno == ENOENT)
    refuse(path, fmt::format("folder {} does not exist", quote(target.folder)));
  if (!folder) refuse(path, reason(errno));
  if (!S_ISDIR(folder->st_mode)) refuse(path, quote(target.folder) + " is not a folder");
  return target;
}

void require_write_permission(const std::string& path, const Target& target) {
  if (target.existing && faccessat(AT_FDCWD, target.path.c_str(), W_OK, AT_EACCESS) != 0)
    refuse(path, reason(errno));
}

/// Creates a file of a new name in the target's folder, and locks it; its name is short, whatever
/// the target's.
int create_temporary(const std::string& path, const Target& target, std::string& name) {
  static std::atomic<unsigned> serial{0};
  for (;;) {
    name = fmt::format("{}/.flashbench-{}-{}.tmp", target.folder, getpid(), serial++);
    const int descriptor = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0 && lock_new_file(descriptor)) return descriptor;
    if (descriptor >= 0)
      close(descriptor);  // somebody took it for an abandoned one
    else if (errno != EEXIST)
      refuse(path,
             fmt::format("no file can be made in {}: {}", quote(target.folder), reason(errno)));
  }
}

int open_directly(const std::string& path) {
  const int descriptor = open_file(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
  if (descriptor < 0) refuse(path, reason(errno));
  return descriptor;
}

/// So that the rename itself survives a power failure; not every file system can, hence no error.
void sync_folder(const std::string& target) {
  const fs::path folder = fs::path(target).parent_path();
  const int descriptor =
      open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  const Target target = find_target(path_);
  target_ = target.path;
  if (target.direct) {
    descriptor_ = open_directly(path_);
    return;
  }
  require_write_permission(path_, target);
  descriptor_ = create_temporary(path_, target, temporary_);
  // Only the owner may pass permissions on; for anybody else the new file has the usual ones.
  if (target.existing) (void)!fchmod(descriptor_, target.existing->st_mode & 07777u);
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
  if (descriptor_ >= 0) close(descriptor_);
  if (lock_ >= 0) close(lock_);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) failed(path_, "writing", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  if (!temporary_.empty() && fsync(descriptor_) != 0) failed(path_, "flushing", errno);
  if (!temporary_.empty()) lock_ = fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 && errno != EINTR) failed(path_, "closing", errno);
  if (temporary_.empty()) return;
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) failed(path_, "renaming", errno);
  temporary_.clear();
  sync_folder(target_);
}

void write_file_atomically(const std::string& path,
                           std::span<const std::span<const std::byte>> parts) {
  AtomicFile file(path);
  for (const std::span<const std::byte> part : parts) file.write(part);
  file.commit();
}

void write_file_atomically(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void require_writable(const std::string& path) {
  const Target target = find_target(path);
  require_write_permission(path, target);
  if (target.direct) return;
  remove_abandoned(target.folder);
  std::string name;  // permissions do not tell everything (read-only mounts, quotas): try
  const int descriptor = create_temporary(path, target, name);
  unlink(name.c_str());
  close(descriptor);
}

bool is_replaced(const std::string& path) { return !find_target(path).direct; }

void claim_output(const std::string& path, std::vector<OutputLock>& claimed) {
  if (path.empty() || path == "-") return;
  require_writable(path);
  const Target target = find_target(path);
  if (!target.direct) claimed.emplace_back(target.path, path);
}

}  // namespace flashbench

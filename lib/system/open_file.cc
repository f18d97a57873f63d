#include "system/open_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "system/interrupt.h"

namespace flashbench {
namespace {

constexpr int kAskEvery_ms = 50;

bool is_fifo(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISFIFO(info.st_mode);
}

int open_once(const std::string& path, int flags) {
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

/// A reader comes at once; its first writer is told by poll().
void wait_for_writer(int descriptor) {
  pollfd watched{descriptor, POLLIN, 0};
  while (::poll(&watched, 1, kAskEvery_ms) <= 0)
    if (interrupted()) {
      ::close(descriptor);
      throw Interrupted{};
    }
}

}  // namespace

int open_file(const std::string& path, int flags) {
  if (!is_fifo(path)) return open_once(path, flags);
  int descriptor = -1;
  // ENXIO: nobody reads it yet.
  while ((descriptor = open_once(path, flags | O_NONBLOCK)) < 0 && errno == ENXIO) {
    stop_if_interrupted();
    ::poll(nullptr, 0, kAskEvery_ms);
  }
  if (descriptor < 0) return descriptor;
  if ((flags & O_ACCMODE) == O_RDONLY) wait_for_writer(descriptor);
  ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
  return descriptor;
}

}  // namespace flashbench

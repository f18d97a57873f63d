#include "measure/memory_log.h"

#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>

namespace flashbench::measure {
namespace {

constexpr suseconds_t kInterval_us = 500;

std::atomic<MemoryLog*> current = nullptr;

/// A handler, in whichever thread, is reading, or a log is about to end.
std::atomic_flag busy = ATOMIC_FLAG_INIT;

/// The second number of /proc/self/statm, in bytes. Async-signal-safe.
std::optional<std::size_t> resident_bytes(int statm, std::size_t page_bytes) {
  char text[128];
  const ssize_t length = ::pread(statm, text, sizeof text, 0);
  const char* const end = text + std::max<ssize_t>(length, 0);
  std::size_t size = 0, resident = 0;
  const auto first = std::from_chars(text, end, size);
  if (first.ec != std::errc{} || first.ptr == end) return std::nullopt;
  if (std::from_chars(first.ptr + 1, end, resident).ec != std::errc{}) return std::nullopt;
  return resident * page_bytes;
}

void set_timer(suseconds_t interval_us) {
  const itimerval timer{{0, interval_us}, {0, interval_us}};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace

/// The first point is taken here: what follows must not have begun when the first signal comes.
MemoryLog::MemoryLog() : file_(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) {
  points_.reserve(kMostPoints);
  if (!read()) return;
  running_ = true;
  current = this;
  struct sigaction action {};
  action.sa_handler = on_alarm;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGALRM, &action, nullptr);
  set_timer(kInterval_us);
}

void MemoryLog::stop() {
  if (running_) {
    set_timer(0);
    while (busy.test_and_set()) {
    }
    current = nullptr;
    busy.clear();
    read();
  }
  running_ = false;
  if (file_ >= 0) ::close(file_);
  file_ = -1;
}

void MemoryLog::on_alarm(int) {
  const int error = errno;
  if (!busy.test_and_set()) {
    if (MemoryLog* log = current) log->tick();
    busy.clear();
  }
  errno = error;
}

bool MemoryLog::read() {
  static const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::optional<std::size_t> bytes = resident_bytes(file_, page_bytes);
  if (!bytes) return false;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  points_.push_back({std::chrono::duration<double>(now).count(), *bytes});
  return true;
}

void MemoryLog::tick() {
  if (++ticks_ % every_ != 0) return;
  read();
  if (points_.size() < kMostPoints - 1) return;  // one stays free for the last
  std::size_t kept = 0;
  for (std::size_t i = 0; i < points_.size(); i += 2) points_[kept++] = points_[i];
  points_.resize(kept);
  every_ *= 2;
}

}  // namespace flashbench::measure

#include "measure/memory_log.h"

#include <unistd.h>

#include <chrono>
#include <fstream>
#include <optional>

namespace flashbench::measure {
namespace {

using Clock = std::chrono::steady_clock;

std::optional<std::size_t> resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  if (!(file >> size >> resident)) return std::nullopt;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

/// The first point is taken here: what follows must not have begun when the thread gets to run.
MemoryLog::MemoryLog() {
  if (read()) thread_ = std::thread([this] { watch(); });
}

bool MemoryLog::read() {
  const std::optional<std::size_t> bytes = resident_bytes();
  if (!bytes) return false;
  points_.push_back(
      {std::chrono::duration<double>(Clock::now().time_since_epoch()).count(), *bytes});
  return true;
}

void MemoryLog::stop() {
  stopped_ = true;
  if (thread_.joinable()) thread_.join();
}

void MemoryLog::watch() {
  auto interval = std::chrono::microseconds(500);
  while (true) {
    const bool last = stopped_;
    if (!read() || last) return;
    if (points_.size() == kMostPoints - 1) {  // one stays free for the last
      std::size_t kept = 0;
      for (std::size_t i = 0; i < points_.size(); i += 2) points_[kept++] = points_[i];
      points_.resize(kept);
      interval *= 2;
    }
    std::this_thread::sleep_for(interval);
  }
}

}  // namespace flashbench::measure

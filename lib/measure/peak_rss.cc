#include "measure/peak_rss.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace flashbench::measure {
namespace {

/// "VmRSS" or "VmHWM" of /proc/self/status.
std::optional<std::size_t> status_bytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  std::string word;
  while (file >> word) {
    std::size_t kib = 0;
    if (word == key + ":" && file >> kib) return kib * 1024;
    std::getline(file, word);
  }
  return std::nullopt;
}

/// Makes the high-water mark what is resident now (Linux, proc(5)).
bool reset_high_water_mark() {
  const int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool ok = write(file, "5", 1) == 1;
  close(file);
  return ok;
}

}  // namespace

std::optional<PeakRss> peak_rss_during(const std::function<void()>& run) {
  const bool reset = reset_high_water_mark();
  const std::optional<std::size_t> before = status_bytes("VmRSS");
  run();
  const std::optional<std::size_t> peak = status_bytes("VmHWM");
  if (!reset || !before || !peak) return std::nullopt;
  return PeakRss{*before, *peak};
}

}  // namespace flashbench::measure

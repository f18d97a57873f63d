#include "measure/peak_rss.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace flashbench::measure {
namespace {

/// What `key` ("VmRSS" or "VmHWM") of /proc/self/status has of the program's own data: pages of
/// files, most of them code, are whoever's came first.
std::optional<std::size_t> data_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::optional<std::size_t> all, of_files;
  std::string word;
  while (status >> word) {
    std::size_t kib = 0;
    if (word == key + ":" && status >> kib) all = kib * 1024;
    if (word == "RssFile:" && status >> kib) of_files = kib * 1024;
    std::getline(status, word);
  }
  if (!all || !of_files) return std::nullopt;
  return *all > *of_files ? *all - *of_files : 0;
}

/// Memory that was freed stays resident, where the next run would find it and need no more.
void give_back_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
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
  give_back_freed_memory();
  const bool reset = reset_high_water_mark();
  const std::optional<std::size_t> before = data_bytes("VmRSS");
  run();
  const std::optional<std::size_t> peak = data_bytes("VmHWM");
  if (!reset || !before || !peak) return std::nullopt;
  return PeakRss{*before, *peak};
}

}  // namespace flashbench::measure

#include "cpu/driver.h"

#include <unistd.h>

namespace flashbench::cpu {

std::size_t l2_bytes() {
  static const std::size_t bytes = [] {
    const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return size > 0 ? static_cast<std::size_t>(size) : std::size_t{512} << 10;
  }();
  return bytes;
}

}  // namespace flashbench::cpu

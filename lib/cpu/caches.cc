#include "cpu/caches.h"

#include <unistd.h>

namespace flashbench::cpu {

std::size_t l2_cache_bytes() {
  const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return size > 0 ? static_cast<std::size_t>(size) : std::size_t{512} << 10;
}

std::size_t last_cache_bytes() {
  long size = sysconf(_SC_LEVEL4_CACHE_SIZE);
  if (size <= 0) size = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return size > 0 ? static_cast<std::size_t>(size) : std::size_t{32} << 20;
}

}  // namespace flashbench::cpu

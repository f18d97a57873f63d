#include "cpu/caches.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "system/caches.h"
#include "system/machine.h"

namespace flashbench::cpu {

std::size_t l1_cache_bytes() {
  const long size = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  return size > 0 ? static_cast<std::size_t>(size) : std::size_t{32} << 10;
}

std::size_t l2_cache_bytes() {
  const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return size > 0 ? static_cast<std::size_t>(size) : std::size_t{512} << 10;
}

std::size_t last_caches_bytes() {
  const std::vector<int> cpus = machine::affinity();
  if (const std::optional<std::uint64_t> bytes = machine::last_level_bytes(cpus))
    return static_cast<std::size_t>(*bytes);
  const long size = std::max(sysconf(_SC_LEVEL4_CACHE_SIZE), sysconf(_SC_LEVEL3_CACHE_SIZE));
  return size > 0 ? static_cast<std::size_t>(size) : std::size_t{32} << 20;
}

}  // namespace flashbench::cpu

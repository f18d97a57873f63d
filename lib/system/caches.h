#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// The caches of this machine's processors, as /sys gives them. `root` is where it is looked for,
/// so that tests can fake a machine.
namespace flashbench::machine {

struct Cache {
  int level = 0;
  std::string type;         ///< "data", "instruction", "unified"
  std::uint64_t bytes = 0;  ///< 0 where the system does not say
  std::vector<int> cpus;    ///< the hardware threads that share it, ascending
};

/// The caches of one hardware thread; empty where the system does not say.
std::vector<Cache> caches(int cpu, const std::filesystem::path& root = "/");

/// Bytes of the last level that these hardware threads can fill together: a cache that several of
/// them share counts once, one that none of them reaches not at all. nullopt where the system does
/// not say. Not what sysconf() calls the L3: on processors of several dies, that is the sum over
/// dies that this process may not even see.
std::optional<std::uint64_t> last_level_bytes(std::span<const int> cpus,
                                              const std::filesystem::path& root = "/");

/// The hardware threads that a list like "0-3,8" names.
std::vector<int> parse_cpu_list(const std::string& list);

}  // namespace flashbench::machine

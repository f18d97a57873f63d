#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

/// What this process may use of the machine. `root` is where /proc and /sys are looked for, so that
/// tests can fake a machine.
namespace flashbench::machine {

/// The tightest limits on the way from this process's control group to the root (v1, v2 and
/// hybrid).
struct CgroupLimits {
  std::optional<double> cpus;                      ///< quota / period, e.g. 1.5
  std::optional<std::uint64_t> memory_bytes;       ///< the smallest limit
  std::optional<std::uint64_t> memory_free_bytes;  ///< smallest limit - usage + reclaimable cache
};
CgroupLimits cgroup_limits(const std::filesystem::path& root = "/");

/// The processors that the threads of this process may run on, ascending, and their number: where
/// OpenMP binds them to places, those of the places; else what sched_getaffinity says. To be asked
/// by the main thread, outside of parallel regions.
std::vector<int> affinity();
int affinity_cpus();

/// Threads that can run at once: affinity, and the cgroup's quota rounded up; at least 1.
int usable_cpus(const std::filesystem::path& root = "/");
int usable_cpus(int affinity, const CgroupLimits& limits);

/// MemTotal; nullopt where it cannot be read.
std::optional<std::uint64_t> physical_memory_bytes(const std::filesystem::path& root = "/");

/// What can be allocated and touched now without swapping or meeting a limit: the smallest of
/// MemAvailable, and what the control groups, RLIMIT_AS and RLIMIT_DATA leave. nullopt where
/// nothing can be read.
std::optional<std::uint64_t> available_memory_bytes(const std::filesystem::path& root = "/");

}  // namespace flashbench::machine

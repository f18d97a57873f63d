#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "measure/limits.h"
#include "measure/sampler.h"

namespace flashbench::measure {

/// The machine at one moment; two of them tell what happened in between. Only the processors that
/// this process may use are counted. Absent where the system does not tell.
struct Snapshot {
  double wall_s = 0;
  int cpus = 0;
  double own_cpu_s = 0;            ///< of this process
  std::optional<double> busy_s;    ///< of everybody, user + system + interrupts
  std::optional<double> steal_s;   ///< taken by the hypervisor
  std::optional<double> clock_hz;  ///< mean now
  std::optional<double> max_clock_hz;
  std::optional<long long> throttles;  ///< thermal throttle events so far
};

/// `root`: where /proc and /sys are looked for.
Snapshot take_snapshot(Clock& clock, const std::filesystem::path& root = "/");

/// What happened around a measurement.
struct Conditions {
  int threads = 1;      ///< that the subject uses
  int usable_cpus = 1;  ///< affinity and cgroup quota
  Snapshot before, after;
};

/// What a reader of the numbers has to know, each with a remedy, one line each.
std::vector<std::string> warnings(const Samples& samples, const Limits& limits,
                                  const Conditions& conditions);

}  // namespace flashbench::measure

#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/device_reading.h"
#include "measure/limits.h"
#include "measure/sampler.h"

namespace flashbench::measure {

/// The machine at one moment; two of them tell what happened in between. Counts the processors that
/// this process may use and no others. Absent where the system does not tell.
struct Snapshot {
  double wall_s = 0;
  int cpus = 0;
  double own_cpu_s = 0;            ///< of this process
  std::optional<double> busy_s;    ///< of everybody: user, system and interrupts
  std::optional<double> steal_s;   ///< taken by the hypervisor
  std::optional<double> clock_hz;  ///< mean now
  std::optional<double> max_clock_hz;
  std::optional<std::int64_t> throttles;  ///< thermal throttle events so far
};

/// `cpus`: the processors that count; `root`: where /proc and /sys are looked for.
Snapshot take_snapshot(Clock& clock, std::span<const int> cpus,
                       const std::filesystem::path& root = "/");

/// Seconds that a hypervisor took of each of these processors so far, in ticks of 10 ms; empty
/// where the system does not tell.
std::vector<double> stolen_s(std::span<const int> cpus, const std::filesystem::path& root = "/");

/// What a thread does while it waits for the others of its team.
enum class Waiting { kSpins, kSleeps };

/// What happened around a measurement.
struct Conditions {
  int threads = 1;      ///< that the subject uses
  int usable_cpus = 1;  ///< affinity and cgroup quota
  Waiting waiting = Waiting::kSpins;
  Snapshot before, after;
  /// Of the device that computes, between the rounds, in order; empty where nobody tells.
  std::vector<DeviceReading> device;
};

/// What the warning of load from others begins with.
inline constexpr std::string_view kLoadFromOthers = "load from others";
/// And that of samples that they disturbed.
inline constexpr std::string_view kDisturbed = "disturbed";

/// Processors that others kept busy meanwhile, the hypervisor included, on average; absent where
/// the system does not tell or the time was too short to.
std::optional<double> others_cpus(const Conditions& conditions);

/// What a reader of the numbers has to know, each with a remedy, one line each.
std::vector<std::string> warnings(const Samples& samples, const Limits& limits,
                                  const Conditions& conditions);

}  // namespace flashbench::measure

#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace flashbench::measure {

/// Energy of the processor packages, from the counters of RAPL that Linux shows under
/// /sys/class/powercap. It counts everything that runs there, not this process alone.
class EnergyMeter {
 public:
  /// `root`: where /sys is looked for.
  explicit EnergyMeter(std::filesystem::path root = "/");

  /// Why there is nothing to read; empty where there is.
  const std::string& missing() const { return missing_; }

  std::size_t packages() const { return domains_.size(); }

  /// Joules since the first call; nullopt where nothing can be read. To be called at least once a
  /// minute, or a counter that wraps twice loses energy.
  std::optional<double> read_j();

 private:
  struct Domain {
    std::filesystem::path counter;
    double range_uj = 0;  ///< at which it wraps
    std::optional<double> last_uj = {};
  };
  std::vector<Domain> domains_;
  double total_uj_ = 0;
  std::string missing_;
};

/// Joules since some fixed moment; nullopt where nothing can be read.
using ReadEnergy = std::function<std::optional<double>()>;

/// Joules per call of `launch`, which returns when its work is done and is called for at least
/// `least_s` seconds, from one step of the counter to another: a GPU's moves ten times a second
/// only. nullopt where nothing can be read.
std::optional<double> energy_per_call_j(const ReadEnergy& read_j,
                                        const std::function<void()>& launch, double least_s,
                                        const std::function<bool()>& stop_requested);

}  // namespace flashbench::measure

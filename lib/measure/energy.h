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

  /// Joules since the last call (of the first: 0); nullopt where nothing can be read. To be called
  /// at least once a minute, or a counter that wraps twice loses energy.
  std::optional<double> read_j();

 private:
  struct Domain {
    std::filesystem::path counter;
    double range_uj = 0;  ///< at which it wraps
    std::optional<double> last_uj = {};
  };
  std::vector<Domain> domains_;
  std::string missing_;
};

/// Joules per call of `launch`, which is called for at least `least_s` seconds (so that the
/// counter, which moves once a millisecond, is exact enough); nullopt where nothing can be read.
std::optional<double> energy_per_call_j(EnergyMeter& meter, const std::function<void()>& launch,
                                        double least_s,
                                        const std::function<bool()>& stop_requested);

}  // namespace flashbench::measure

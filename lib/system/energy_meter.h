#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace flashbench {

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

}  // namespace flashbench

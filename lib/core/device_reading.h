#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace flashbench {

/// What a GPU says about itself at one moment. Absent: it does not tell.
struct DeviceReading {
  std::optional<double> sm_clock_hz, max_sm_clock_hz;
  std::optional<double> memory_clock_hz, max_memory_clock_hz;
  /// What holds its clocks down now, "power limit", say; an idle GPU and clocks that somebody set
  /// do not count as such.
  std::vector<std::string> throttle_reasons;
  std::optional<double> power_w, power_limit_w, temperature_c;
  std::optional<std::uint64_t> ecc_errors;  ///< uncorrected, since its driver was loaded
  std::string missing;                      ///< why there is no reading at all; empty otherwise
};

}  // namespace flashbench

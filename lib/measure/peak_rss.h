#pragma once

#include <cstddef>
#include <functional>
#include <optional>

namespace flashbench::measure {

/// Of the program's data; pages of files, code above all, count nowhere.
struct PeakRss {
  std::size_t before_bytes = 0;  ///< resident when the run began: operands, libraries' data
  std::size_t peak_bytes = 0;    ///< the most that was resident at any moment of the run

  /// What the run itself added at its peak.
  std::size_t growth_bytes() const {
    return peak_bytes > before_bytes ? peak_bytes - before_bytes : 0;
  }
};

/// Runs `run` once and tells the resident memory of this process before it and at its peak. The
/// kernel's high-water mark is reset by writing 5 to /proc/self/clear_refs; nullopt, after the run,
/// where that is not allowed. What was freed before is given back first, so that a run's growth
/// does not depend on those before it; memory that is still held counts in both figures. A peak
/// that the run still holds when it returns is exact; one that it gave back is known to some
/// hundred KiB, since the kernel counts in batches of pages per processor (before Linux 6.17 both
/// are).
std::optional<PeakRss> peak_rss_during(const std::function<void()>& run);

}  // namespace flashbench::measure

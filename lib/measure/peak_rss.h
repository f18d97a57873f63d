#pragma once

#include <cstddef>
#include <functional>
#include <optional>

namespace flashbench::measure {

struct PeakRss {
  std::size_t before_bytes = 0;  ///< resident when the run began: operands, libraries, everything
  std::size_t peak_bytes = 0;    ///< the most that was resident at any moment of the run

  /// What the run itself added at its peak.
  std::size_t growth_bytes() const {
    return peak_bytes > before_bytes ? peak_bytes - before_bytes : 0;
  }
};

/// Runs `run` once and tells the resident memory of this process before it and at its peak. The
/// kernel's high-water mark is reset by writing 5 to /proc/self/clear_refs; nullopt, after the run,
/// where that is not allowed. The kernel counts in batches of pages per processor, so that the
/// figures are good to some hundred KiB. Memory that was touched before counts in both figures: run
/// a type with fresh workspace to see what it needs.
std::optional<PeakRss> peak_rss_during(const std::function<void()>& run);

}  // namespace flashbench::measure

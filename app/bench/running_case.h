#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "app/case/peaks.h"
#include "app/case/prepared_case.h"
#include "app/case/routing.h"
#include "core/device_reading.h"
#include "report/record.h"

namespace flashbench::app {

/// A case of a group that runs.
struct RunningCase {
  const RoutedCase* routed = nullptr;
  report::Result* result = nullptr;
  std::unique_ptr<PreparedCase> prepared = nullptr;
  std::optional<PeakRates> peaks = {};     ///< as the last probe read them
  std::vector<double> ideal_s = {};        ///< seconds at the peaks, one per probe
  double peak_flop_s = 0;                  ///< the most that a probe read
  std::vector<DeviceReading> clocks = {};  ///< of what it runs on, between the rounds

  // Of what times itself: its own seconds, ours from the question to the answer, how often, and how
  // often ours were too many.
  double own_s = 0, our_s = 0;
  std::int64_t timed = 0, late = 0;
  std::exception_ptr broken = nullptr;     ///< what new inputs made of it
  std::int64_t awaited = 0, restless = 0;  ///< others waited for its threads; in vain

  Backend& backend() const { return *routed->route->backend; }
  const Execution& execution() const { return routed->route->execution; }
  ExecutionTraits traits() const { return routed->traits(); }
  bool cold() const { return routed->request.cache == sweep::CacheState::kCold; }
  bool same_peaks(const RunningCase& other) const {
    const PeakSource own = backend().peak_source(execution());
    const PeakSource others = other.backend().peak_source(other.execution());
    return own.backend == others.backend &&
           own.backend->same_peaks(own.execution, others.execution);
  }
};

}  // namespace flashbench::app

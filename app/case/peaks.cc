#include "app/case/peaks.h"

#include <algorithm>
#include <string>

#include "measure/statistics.h"
#include "registry/registry.h"
#include "system/error.h"

namespace flashbench::app {

bool same_peaks(const Execution& a, const Execution& b) {
  if (a.backend != b.backend) return false;
  return a.backend == Backend::kCuda ? a.device == b.device
                                     : a.isa == b.isa && a.threads == b.threads;
}

double PeakLog::measure_flops(const Execution& e, Dtype dtype) {
  const double rate = registry::measure_peak_flops(e, dtype);
  add(e, dtype, rate);
  return rate;
}

double PeakLog::measure_bandwidth(const Execution& e) {
  const double rate = registry::measure_peak_bandwidth(e);
  add(e, std::nullopt, rate);
  return rate;
}

std::optional<PeakRates> PeakLog::try_measure(const Execution& e, Dtype dtype) {
  const bool emulated = e.backend == Backend::kCuda && e.device == kEmulatedDevice;
  if (emulated || !missing(e).empty()) return std::nullopt;
  try {
    return measure(e, dtype);
  } catch (const UnavailableError&) {
    missing_.emplace_back(e, "too little memory for the buffer that bandwidth is read from");
  } catch (const DeviceError& error) {
    missing_.emplace_back(e, error.what());
  }
  return std::nullopt;
}

std::string PeakLog::missing(const Execution& e) const {
  for (const auto& [execution, why] : missing_)
    if (same_peaks(execution, e)) return why;
  return "";
}

bool PeakLog::knows(const Execution& e) const {
  return std::any_of(series_.begin(), series_.end(),
                     [&](const Series& s) { return same_peaks(s.execution, e); });
}

std::vector<report::Peak> PeakLog::report() const {
  std::vector<report::Peak> peaks;
  for (const Series& s : series_) {
    report::Peak peak;
    peak.backend = name(s.execution.backend);
    peak.isa = registry::peak_instruction(s.execution, s.dtype);
    peak.threads = registry::peak_threads(s.execution, s.dtype);
    if (s.execution.backend == Backend::kCuda) peak.device = device_text(s.execution.device);
    const double rate = measure::median(s.values) * 1e-9;
    if (s.dtype) {
      peak.dtype = std::string(name(*s.dtype));
      peak.gflops = rate;
    } else {
      peak.read_gb_s = rate;
    }
    peaks.push_back(std::move(peak));
  }
  return peaks;
}

void PeakLog::add(const Execution& e, std::optional<Dtype> dtype, double value) {
  for (Series& s : series_)
    if (same_peaks(s.execution, e) && s.dtype == dtype) {
      s.values.push_back(value);
      return;
    }
  series_.push_back({e, dtype, {value}});
}

}  // namespace flashbench::app

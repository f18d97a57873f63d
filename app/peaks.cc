#include "peaks.h"

#include <string>

#include "core/error.h"
#include "measure/statistics.h"
#include "registry/registry.h"

namespace flashbench::app {

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
  if (no_memory_ || e.backend == Backend::kCuda) return std::nullopt;
  try {
    return measure(e, dtype);
  } catch (const UnavailableError&) {
    no_memory_ = true;
    return std::nullopt;
  }
}

std::vector<report::Peak> PeakLog::report() const {
  std::vector<report::Peak> peaks;
  for (const Series& s : series_) {
    report::Peak peak;
    peak.backend = name(Backend::kCpu);
    peak.isa = name(s.execution.isa);
    peak.threads = s.execution.threads;
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
    if (s.execution.isa == e.isa && s.execution.threads == e.threads && s.dtype == dtype) {
      s.values.push_back(value);
      return;
    }
  series_.push_back({e, dtype, {value}});
}

}  // namespace flashbench::app

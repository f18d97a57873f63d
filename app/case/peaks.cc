#include "app/case/peaks.h"

#include <algorithm>
#include <string>

#include "measure/statistics.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

/// Whether an entry holds for this execution too: the same backend and the same peaks.
bool is_of(const auto& kept, Backend& backend, const Execution& e) {
  return kept.backend == &backend && backend.same_peaks(kept.execution, e);
}

}  // namespace

std::optional<PeakRates> PeakLog::try_measure(Backend& backend, const Execution& e, Dtype dtype) {
  PeakRates rates;
  const bool read = attempt(backend, e, [&] {
    rates.flop_s = add(backend, e, dtype, backend.peak_flop_s(e, dtype));
    rates.bytes_s = add(backend, e, std::nullopt, backend.peak_bytes_s(e));
  });
  return read ? std::optional(rates) : std::nullopt;
}

void PeakLog::try_measure_all(Backend& backend, const Execution& e) {
  attempt(backend, e, [&] {
    for (const Dtype dtype : kDtypes) add(backend, e, dtype, backend.peak_flop_s(e, dtype));
    add(backend, e, std::nullopt, backend.peak_bytes_s(e));
  });
}

std::string PeakLog::missing(Backend& backend, const Execution& e) const {
  for (const Missing& m : missing_)
    if (is_of(m, backend, e)) return m.why;
  return "";
}

bool PeakLog::knows(Backend& backend, const Execution& e) const {
  return std::any_of(series_.begin(), series_.end(),
                     [&](const Series& s) { return is_of(s, backend, e); });
}

std::vector<report::Peak> PeakLog::report() const {
  std::vector<report::Peak> peaks;
  for (const Series& s : series_) {
    const PeakSubject subject = s.backend->peak_subject(s.execution, s.dtype);
    report::Peak peak;
    peak.backend = name(s.backend->info().id);
    peak.isa = subject.instruction;
    peak.threads = subject.threads;
    peak.device = s.backend->place(s.execution).device;
    const double rate = measure::median(s.rates) * 1e-9;
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

bool PeakLog::attempt(Backend& backend, const Execution& e, const std::function<void()>& read) {
  if (!backend.traits(e).has_speed || !missing(backend, e).empty()) return false;
  try {
    read();
    return true;
  } catch (const UnavailableError&) {
    missing_.push_back(
        {&backend, e, "too little memory for the buffer that bandwidth is read from"});
  } catch (const DeviceError& error) {
    missing_.push_back({&backend, e, error.what()});
  }
  return false;
}

double PeakLog::add(Backend& backend, const Execution& e, std::optional<Dtype> dtype, double rate) {
  for (Series& s : series_)
    if (is_of(s, backend, e) && s.dtype == dtype) {
      s.rates.push_back(rate);
      return rate;
    }
  series_.push_back({&backend, e, dtype, {rate}});
  return rate;
}

}  // namespace flashbench::app

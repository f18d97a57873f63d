#include "app/case/peaks.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "measure/disturbance.h"
#include "measure/statistics.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

/// A reading that others disturbed is taken again: not as often once there is one to fall back on,
/// since the peaks must not take longer than the work.
constexpr int kReadings = 2, kFirstReadings = 6;

/// Whether an entry holds for this execution too: the same backend and the same peaks.
bool is_of(const auto& kept, Backend& backend, const Execution& e) {
  return kept.backend == &backend && backend.same_peaks(kept.execution, e);
}

}  // namespace

std::optional<PeakRates> PeakLog::try_measure(Backend& of, const Execution& asked, Dtype dtype) {
  const auto [source, e] = of.peak_source(asked);
  Backend& backend = *source;
  PeakRates rates;
  const bool read = attempt(backend, e, [&] {
    const Reading flop_s = add(backend, e, dtype, [&] { return backend.peak_flop_s(e, dtype); });
    const Reading bytes_s = bandwidth(backend, e);
    rates = {flop_s.rate, bytes_s.rate, flop_s.disturbed || bytes_s.disturbed};
  });
  return read ? std::optional(rates) : std::nullopt;
}

void PeakLog::try_measure_all(Backend& backend, const Execution& e) {
  attempt(backend, e, [&] {
    for (const Dtype dtype : kDtypes)
      add(backend, e, dtype, [&] { return backend.peak_flop_s(e, dtype); });
    bandwidth(backend, e);
  });
}

PeakLog::Reading PeakLog::bandwidth(Backend& backend, const Execution& e) {
  try {
    return add(backend, e, std::nullopt, [&] { return backend.peak_bytes_s(e); });
  } catch (const OutOfMemoryError&) {
    for (const Series& s : series_)
      if (is_of(s, backend, e) && !s.dtype) return last_undisturbed(s).value_or(s.readings.back());
    throw;
  }
}

std::optional<PeakLog::Reading> PeakLog::last_undisturbed(const Series& series) {
  std::optional<Reading> last;
  for (const Reading& r : series.readings)
    if (!r.disturbed) last = r;
  return last;
}

std::string PeakLog::missing(Backend& of, const Execution& asked) const {
  const auto [source, e] = of.peak_source(asked);
  Backend& backend = *source;
  for (const Missing& m : missing_)
    if (is_of(m, backend, e)) return m.why;
  return "";
}

bool PeakLog::knows(Backend& of, const Execution& asked) const {
  const PeakSource source = of.peak_source(asked);
  return std::any_of(series_.begin(), series_.end(),
                     [&](const Series& s) { return is_of(s, *source.backend, source.execution); });
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
    std::vector<double> rates, disturbed;
    for (const Reading& r : s.readings) (r.disturbed ? disturbed : rates).push_back(r.rate);
    peak.disturbed = rates.empty();
    const double rate = measure::median(peak.disturbed ? disturbed : rates) * 1e-9;
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
  } catch (const OutOfMemoryError& error) {
    missing_.push_back(
        {&backend, e,
         fmt::format("too little memory for the buffer that bandwidth is read from: {}",
                     error.what())});
  } catch (const UnavailableError& error) {
    missing_.push_back({&backend, e, error.what()});
  } catch (const DeviceError& error) {
    missing_.push_back({&backend, e, error.what()});
  }
  return false;
}

PeakLog::Reading PeakLog::add(Backend& backend, const Execution& e, std::optional<Dtype> dtype,
                              const std::function<double()>& read) {
  auto series = std::find_if(series_.begin(), series_.end(), [&](const Series& s) {
    return is_of(s, backend, e) && s.dtype == dtype;
  });
  std::optional<Reading> undisturbed;
  if (series != series_.end()) undisturbed = last_undisturbed(*series);
  const bool own_clock = backend.traits(e).queues;  // a device's, which nobody here disturbs
  Reading now{0, true};
  for (int i = 0; i < (undisturbed ? kReadings : kFirstReadings) && now.disturbed; ++i) {
    double rate = 0;
    const std::optional<double> lost = measure::lost_share([this] { return threads_.read(); },
                                                           [&] {
                                                             const double began_s = clock_.now_s();
                                                             rate = read();
                                                             return clock_.now_s() - began_s;
                                                           });
    now = {std::max(now.rate, rate), !own_clock && measure::is_disturbed(lost.value_or(0))};
  }
  if (series == series_.end()) series = series_.insert(series, {&backend, e, dtype, {}});
  series->readings.push_back(now);
  return now.disturbed ? undisturbed.value_or(now) : now;
}

}  // namespace flashbench::app

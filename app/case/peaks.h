#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "kernel/backend.h"
#include "measure/clock.h"
#include "measure/lost_time.h"
#include "report/record.h"

namespace flashbench::app {

/// FLOP/s and bytes/s that these threads, or this device, reach, read once (tens of milliseconds).
struct PeakRates {
  double flop_s = 0, bytes_s = 0;
  bool disturbed = false;  ///< others had a processor whenever one of these was read
};

/// The peaks of one run: read again and again because machines drift, kept one by one.
class PeakLog {
 public:
  /// Reads both rates and keeps them; nullopt where the execution has no speed, and once a reading
  /// failed, see missing(). Where the buffer that bandwidth is read from does not fit beside what
  /// is held now, an earlier reading stands for this one.
  std::optional<PeakRates> try_measure(Backend& backend, const Execution& e, Dtype dtype);

  /// The rate of every dtype and the bandwidth, once; nothing where a reading failed.
  void try_measure_all(Backend& backend, const Execution& e);

  /// Why there are no peaks of it; empty where they were read or nobody tried.
  std::string missing(Backend& backend, const Execution& e) const;
  /// Something was read of it.
  bool knows(Backend& backend, const Execution& e) const;

  /// One entry per dtype and one bandwidth, of every execution that has peaks of its own: the
  /// medians.
  std::vector<report::Peak> report() const;

 private:
  struct Reading {
    double rate;
    bool disturbed;
  };
  /// What was read of one rate.
  struct Series {
    Backend* backend;
    Execution execution;
    std::optional<Dtype> dtype;  ///< absent for a bandwidth
    std::vector<Reading> readings;
  };
  struct Missing {
    Backend* backend;
    Execution execution;
    std::string why;
  };
  /// Runs `read` unless a reading failed before; remembers where it does now.
  bool attempt(Backend& backend, const Execution& e, const std::function<void()>& read);
  /// Reads a rate, again where others disturbed that, and keeps it. The last one that nobody
  /// disturbed, where there is one.
  Reading add(Backend& backend, const Execution& e, std::optional<Dtype> dtype,
              const std::function<double()>& read);

  /// Throws OutOfMemoryError where there is no room for a reading and no earlier one.
  Reading bandwidth(Backend& backend, const Execution& e);
  static std::optional<Reading> last_undisturbed(const Series& series);

  measure::ThreadTimeReader threads_;
  measure::SteadyClock clock_;
  std::vector<Series> series_;
  std::vector<Missing> missing_;
};

}  // namespace flashbench::app

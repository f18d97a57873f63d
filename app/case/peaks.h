#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "kernel/execution.h"
#include "report/record.h"

namespace flashbench::app {

/// The peaks of one execution are those of the other.
bool same_peaks(const Execution& a, const Execution& b);

/// FLOP/s and bytes/s that these threads, or this GPU, reach, read once (tens of milliseconds).
struct PeakRates {
  double flop_s = 0, bytes_s = 0;
};

/// The peaks of one run: read again and again because machines drift, kept one by one.
class PeakLog {
 public:
  /// Reads one peak, or both, now and remembers what it read.
  double measure_flops(const Execution& e, Dtype dtype);
  double measure_bandwidth(const Execution& e);
  PeakRates measure(const Execution& e, Dtype dtype) {
    return {measure_flops(e, dtype), measure_bandwidth(e)};
  }

  /// Both, or nullopt for the emulated device, which has no speed, and from the first time on that
  /// a reading failed; see missing(). The first call for a processor or a GPU takes the buffer that
  /// bandwidth is read from, which is kept.
  std::optional<PeakRates> try_measure(const Execution& e, Dtype dtype);

  /// Why there are no peaks of it; empty where they were read or nobody tried.
  std::string missing(const Execution& e) const;
  /// Something was read of it.
  bool knows(const Execution& e) const;

  /// One entry per dtype and one bandwidth, of each processor's (isa, threads) and of each GPU: the
  /// medians.
  std::vector<report::Peak> report() const;

 private:
  struct Series {
    Execution execution;
    std::optional<Dtype> dtype;  ///< absent for a bandwidth
    std::vector<double> values;
  };
  void add(const Execution& e, std::optional<Dtype> dtype, double value);

  std::vector<Series> series_;
  std::vector<std::pair<Execution, std::string>> missing_;  ///< and why
};

}  // namespace flashbench::app

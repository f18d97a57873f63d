#pragma once

#include <optional>
#include <vector>

#include "core/dtype.h"
#include "kernel/execution.h"
#include "report/record.h"

namespace flashbench::app {

/// FLOP/s and bytes/s that these threads reach, read once (tens of milliseconds).
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

  /// Both, or nullopt for a GPU, which has no probes, and from the first time on that there is no
  /// memory for the buffer that bandwidth is read from. The first call takes that buffer, which is
  /// kept.
  std::optional<PeakRates> try_measure(const Execution& e, Dtype dtype);

  /// Nothing was read yet.
  bool empty() const { return series_.empty(); }

  /// One entry per (isa, threads, dtype) and one bandwidth per (isa, threads): the medians.
  std::vector<report::Peak> report() const;

 private:
  struct Series {
    Execution execution;
    std::optional<Dtype> dtype;  ///< absent for a bandwidth
    std::vector<double> values;
  };
  void add(const Execution& e, std::optional<Dtype> dtype, double value);

  std::vector<Series> series_;
  bool no_memory_ = false;
};

}  // namespace flashbench::app

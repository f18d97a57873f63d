#pragma once

#include <cstdint>
#include <vector>

#include "measure/limits.h"

namespace flashbench::measure {

/// What the warm-up of a subject did. Its calls are not samples and are counted here.
struct WarmupInfo {
  std::int64_t calls = 0;  ///< the first run included
  double seconds = 0;
  bool stable = false;  ///< two windows in a row agreed; false: the limit came first
};

/// Decides when a subject is warm: the medians of two windows in a row agree. Also finds how many
/// calls make a sample long enough to be timed. Pure: it sees numbers, no clock.
class Warmup {
 public:
  static constexpr int kWindow = 3;
  static constexpr double kTolerance = 0.02;
  static constexpr std::int64_t kMaxIterations = 1'000'000;  ///< 1 ns a call in samples of 1 ms

  /// `max_iterations`: 1 where calls must not be batched.
  explicit Warmup(const Limits& limits, std::int64_t max_iterations = kMaxIterations)
      : limits_(limits), max_iterations_(max_iterations) {}

  /// One timed batch of iterations() calls took `batch_s`.
  void add(double batch_s);

  /// Not before one call: the first run never becomes a sample.
  bool done() const {
    return info_.stable || (info_.calls > 0 && info_.seconds >= limits_.max_warmup_s);
  }
  /// Calls of the next batch; after done(), of a sample.
  std::int64_t iterations() const { return iterations_; }
  const WarmupInfo& info() const { return info_; }

 private:
  bool windows_agree() const;

  Limits limits_;
  std::int64_t max_iterations_;
  WarmupInfo info_;
  std::int64_t iterations_ = 1;
  std::vector<double> per_call_s_;  ///< since the batch size last changed
};

}  // namespace flashbench::measure

#pragma once

#include <optional>
#include <span>

#include "measure/limits.h"

namespace flashbench::measure {

/// Guesses how long the rest of a sweep takes from the cases that are done. Pure: it sees numbers,
/// no clock.
class TimeLeft {
 public:
  explicit TimeLeft(const Limits& limits) : limits_(limits) {}

  /// A case took `case_s` in all; one call of it executes `flop` in `call_s`.
  void finished(double flop, double call_s, double case_s);

  /// Seconds that cases of so many FLOP a call will take together; nullopt before any has finished.
  std::optional<double> of(std::span<const double> flop) const;

 private:
  double sampling_s(double call_s) const;

  Limits limits_;
  double flop_ = 0, call_s_ = 0;         ///< sums: their ratio is the speed
  double expected_s_ = 0, spent_s_ = 0;  ///< sums: set-up and verification are in their ratio
};

}  // namespace flashbench::measure

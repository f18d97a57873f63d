#pragma once

#include <string_view>

#include "measure/clock.h"
#include "measure/limits.h"

namespace flashbench::measure {

/// "60s", "2m", "500ms", "1h", "1.5s" or a plain number of seconds. Positive and finite, or a
/// UsageError that names `flag`.
double parse_duration_s(std::string_view text, std::string_view flag);

/// Shares one time over a whole sweep: what fast cases leave over, later ones get.
class Budget {
 public:
  Budget(double total_s, Clock& clock) : clock_(&clock), end_s_(clock.now_s() + total_s) {}

  double left_s() const;
  bool spent() const { return left_s() <= 0; }

  /// Limits for the next of `cases_left` cases (itself included): its share of the time left, less
  /// what set-up and verification usually take. Never looser than `base`.
  Limits next(const Limits& base, int cases_left) const;

 private:
  Clock* clock_;
  double end_s_;
};

}  // namespace flashbench::measure

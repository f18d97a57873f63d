#pragma once

#include <string_view>

#include "measure/clock.h"
#include "measure/limits.h"

namespace flashbench::measure {

/// "60s", "2m", "500ms", "1h", "1.5s" or a plain number of seconds. Positive and finite, or a
/// UsageError that names `flag`.
double parse_duration_s(std::string_view text, std::string_view flag);

/// The least time that some cases take, foretold.
struct Need {
  double fixed_s = 0;     ///< inputs, first runs, verification: whatever the limits are
  double sampling_s = 0;  ///< warm-up and Limits::timeout_samples samples of each
  int cases = 0;

  double total_s() const { return fixed_s + sampling_s; }
  Need& operator+=(const Need& other);
};

/// Shares one time over a whole sweep: every case gets what it needs at the least, and all the same
/// part of what is left over. What fast cases leave, later ones get.
class Budget {
 public:
  Budget(double total_s, Clock& clock)
      : clock_(&clock), total_s_(total_s), end_s_(clock.now_s() + total_s) {}

  double total_s() const { return total_s_; }
  double left_s() const;
  double spent_s() const;  ///< since it began, beyond its end as well

  /// What needs that much time would end later than a tenth after the budget.
  bool exceeded_by(double needed_s) const;

  /// Limits for the cases of `now`, sampled together, before those of `later`. Never looser than
  /// `base`.
  Limits next(const Limits& base, const Need& now, const Need& later) const;

 private:
  Clock* clock_;
  double total_s_, end_s_;
};

}  // namespace flashbench::measure

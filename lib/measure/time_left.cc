#include "measure/time_left.h"

#include <algorithm>

namespace flashbench::measure {

void TimeLeft::finished(double flop, double call_s, double case_s) {
  flop_ += flop;
  call_s_ += call_s;
  expected_s_ += sampling_s(call_s);
  spent_s_ += case_s;
}

std::optional<double> TimeLeft::of(std::span<const double> flop) const {
  if (!(flop_ > 0) || !(expected_s_ > 0)) return std::nullopt;
  double seconds = 0;
  for (const double f : flop) seconds += sampling_s(f * call_s_ / flop_);
  return seconds * spent_s_ / expected_s_;
}

/// As the stop rule has it, where noise does not ask for more.
double TimeLeft::sampling_s(double call_s) const {
  const double wanted = std::max(limits_.min_time_s, limits_.min_samples * call_s);
  return std::max(std::min(wanted, limits_.timeout_s), limits_.timeout_samples * call_s);
}

}  // namespace flashbench::measure

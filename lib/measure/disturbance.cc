#include "measure/disturbance.h"

#include <algorithm>

namespace flashbench::measure {

Undisturbed undisturbed_of(std::span<const double> times_s, std::span<const double> lost) {
  Undisturbed out;
  for (std::size_t i = 0; i < times_s.size(); ++i)
    if (i >= lost.size() || !is_disturbed(lost[i])) out.times_s.push_back(times_s[i]);
  out.marked = times_s.size() - out.times_s.size();
  const auto least = std::max(
      kLeastUndisturbed,
      static_cast<std::size_t>(kLeastUndisturbedShare * static_cast<double>(times_s.size())));
  if (out.marked > 0 && out.times_s.size() < least) {
    out.times_s.assign(times_s.begin(), times_s.end());
    out.enough = false;
  }
  return out;
}

}  // namespace flashbench::measure

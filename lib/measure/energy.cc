#include "measure/energy.h"

namespace flashbench::measure {
namespace {

/// A counter that has not moved for that long is not waited for.
constexpr double kLongestStep_s = 0.25;

}  // namespace

std::optional<double> energy_per_call_j(const ReadEnergy& read_j,
                                        const std::function<void()>& launch, double least_s,
                                        Clock& clock, const std::function<bool()>& stop_requested) {
  std::optional<double> now_j = read_j();
  double calls = 0;
  // Launches until the counter moves, but not before `earliest_s`, and not for ever.
  const auto run_to_a_step = [&](double earliest_s) {
    const double start_s = clock.now_s();
    for (bool moved = false; now_j && !stop_requested();) {
      launch();
      ++calls;
      const double last_j = *now_j;
      now_j = read_j();
      moved = now_j && *now_j != last_j;
      if (clock.now_s() - start_s >= (moved ? earliest_s : earliest_s + kLongestStep_s)) break;
    }
  };
  run_to_a_step(0);
  const std::optional<double> before_j = now_j;
  calls = 0;
  run_to_a_step(least_s);
  if (!before_j || !now_j || calls == 0) return std::nullopt;
  return (*now_j - *before_j) / calls;
}

}  // namespace flashbench::measure

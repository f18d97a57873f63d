#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/bench/changing_inputs.h"
#include "app/bench/running_case.h"
#include "measure/clock.h"

namespace flashbench::app {

/// Runs what returns its seconds; which share of them a thread lost to others.
using WatchLost = std::function<std::optional<double>(const std::function<double()>&)>;

/// Of the threads of another process; null where they are this one's.
WatchLost lost_share_in(const std::string& threads_folder);

/// The rules of a group in which somebody times himself: a guest. They hold for all of its cases:
/// inputs change in place between samples, when nobody knows, and results are poisoned with them;
/// what is verified is a call like all the others; the pools of idle threads are waited for. It
/// finds mistakes and lazy tricks; it is no defence against an attacker.
class FairPlay {
 public:
  FairPlay(const RoutedGroup& group, std::vector<RunningCase>& running, Inputs& in,
           measure::Clock& clock)
      : group_(group), running_(running), changing_(in), clock_(clock) {}

  bool applies() const;

  /// Before anything runs, so that nobody sees the inputs of the verified call before it, and
  /// before every round; true where the inputs have changed.
  bool change();
  bool change_now_and_then();
  /// Before a case is sampled: the others' threads are to sleep.
  void settle(const RunningCase& next);
  /// Seconds of that many launches of what times itself, watched by our clock.
  double timed(RunningCase& r, std::int64_t launches);

  /// After sampling: the inputs are as they were at first.
  void restore() { changing_.restore(); }
  /// Launches on them what is to be verified. Why the times of the case are not credible; nullopt
  /// where they are.
  std::optional<std::string> launch_alone(RunningCase& r, std::optional<double> median_s);
  /// Seconds of processor time that guests took so far, in their own processes.
  double guests_cpu_s() const;
  /// What a case did to the others.
  std::optional<std::string> warning(const RunningCase& r) const;

 private:
  /// Seconds of a call on inputs that nobody has seen; 0 where others disturbed every one.
  double shortest_alone_s(RunningCase& r);

  const RoutedGroup& group_;
  std::vector<RunningCase>& running_;
  ChangingInputs changing_;
  measure::Clock& clock_;
  double began_s_ = 0, spent_s_ = 0;
};

}  // namespace flashbench::app

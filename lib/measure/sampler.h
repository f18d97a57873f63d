#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "measure/clock.h"
#include "measure/disturbance.h"
#include "measure/limits.h"
#include "measure/lost_time.h"
#include "measure/stopped_by.h"
#include "measure/warmup.h"

namespace flashbench::measure {

/// Something to time. The sampler knows nothing of what it computes.
struct Subject {
  /// The timed work. For a cold cache it rotates its own buffers, so that batches stay cold.
  std::function<void()> launch = {};

  /// Untimed, before each sample. Absent: one untimed launch where something else ran since this
  /// subject's last one (another subject, a probe), so that neither pays for the other's evictions.
  /// The launch is left out for calls above a second, where refilling a cache is lost in the noise.
  std::function<void()> before_sample = {};

  /// Untimed, before all else where something else ran since the last launch: waits for what that
  /// left behind.
  std::function<void()> settle = {};

  /// Seconds that `iterations` launches take, where the wall clock cannot tell: on a device that
  /// works through a queue of its own. Absent: launch() on the sampler's clock. Such a subject gets
  /// the untimed launch in any case: it keeps the device busy while the timed ones are queued, so
  /// that no sample has the time in it that the first of them takes to arrive.
  std::function<double(std::int64_t iterations)> timed = {};

  /// Runs `work`, which returns its seconds, and says which share of them a thread lost to others;
  /// nullopt where the system does not tell. Absent: Hooks::thread_times is asked, unless a device
  /// times the subject.
  std::function<std::optional<double>(const std::function<double()>& work)> lost_share = {};

  /// Never batch: before_sample must precede every single call (a flushed cache).
  bool one_call_per_sample = false;
};

/// What one subject gave. Every sample is kept.
struct Samples {
  std::vector<double> times_s;  ///< wall time per iteration, one per sample, in order
  std::vector<int> probe;  ///< for each sample, how many times each_round ran before it, less 1
  /// For each sample, which share of it a thread of ours lost to others; empty where nobody tells.
  std::vector<double> lost;
  std::int64_t iterations_per_sample = 1;
  double user_s = 0, system_s = 0;  ///< processor time per iteration, mean over the timed parts
  double first_run_s = 0;           ///< the very first call, cold pages and all
  WarmupInfo warmup;
  double timed_s = 0;  ///< sum of the timed parts
  StoppedBy stopped_by = StoppedBy::kTimeout;
  std::exception_ptr failure;  ///< what launch threw; later rounds went on without it

  /// The samples that statistics are of.
  Undisturbed undisturbed() const { return undisturbed_of(times_s, lost); }
};

/// State of a running measurement, for a progress bar. Spans live as long as the call.
struct Progress {
  bool warming_up = false;
  int round = 0;
  double elapsed_s = 0;
  double time_left_s = 0;             ///< estimated; never beyond the limits
  std::span<const double> medians_s;  ///< one per subject; 0 where there is no sample yet
  std::span<const double> noise;      ///< one per subject; +inf below two samples
};

/// All optional, all outside the timed parts.
struct Hooks {
  /// Before the first round, and again once Limits::probe_interval_s has gone by: peak probes. Its
  /// argument counts its own calls from 0; Samples::probe refers to it.
  std::function<void(int probe)> each_round;
  /// Before every round; true where it did what evicts the operands of all.
  std::function<bool()> before_round;
  std::function<bool()> stop_requested;  ///< asked before every launch and batch
  std::function<void(const Progress&)> progress;

  // What others took of the processors. Not asked for a subject that a device times.
  std::function<ThreadTimes()> thread_times;  ///< before and after every sample
  /// Seconds that a hypervisor took of each of our processors so far, or nothing; every
  /// Limits::steal_window_s, since it counts in ticks of 10 ms.
  std::function<std::vector<double>()> stolen_s;
};

/// Warms every subject up, then samples them round by round (each round starts with the next one),
/// until every one satisfies its StopRule, or will not whatever comes, or their shared time is
/// over. All stop together: they have the same number of samples, unless one failed or the user
/// interrupted. Returns one Samples per subject, in order.
std::vector<Samples> sample_interleaved(std::span<const Subject> subjects, const Limits& limits,
                                        Clock& clock, const Hooks& hooks = {});

/// Median over the samples that statistics are of, of ideal_s[probe] / time: the share of a peak
/// that drifts, each sample against the peak measured nearest to it. `ideal_s[i]`: the seconds that
/// the work takes at the peak of probe i; not finite where that was disturbed. nullopt without
/// samples or probes.
std::optional<double> median_share_of_peak(const Samples& samples, std::span<const double> ideal_s);

}  // namespace flashbench::measure

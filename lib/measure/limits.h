#pragma once

namespace flashbench::measure {

/// When sampling ends. Times are wall time in seconds.
struct Limits {
  double max_noise = 0.01;     ///< half-width of the 95 % interval of the median, as a share of it
  int min_samples = 10;        ///< of every subject
  double min_time_s = 0.5;     ///< in timed parts of every subject
  double timeout_s = 20;       ///< per subject, everything included; n subjects share n times this
  int timeout_samples = 3;     ///< taken even when the time is over
  double min_sample_s = 1e-3;  ///< shorter calls are batched into samples of this length
  double max_warmup_s = 1;     ///< per subject; the call that passes it is the last

  /// Hooks::each_round runs before the first round and then once this much time has gone by.
  double probe_interval_s = 0.25;

  /// Hooks::stolen_s is asked, and the samples since then judged by it, once this much time has
  /// gone by.
  double steal_window_s = 0.25;
};

}  // namespace flashbench::measure

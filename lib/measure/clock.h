#pragma once

namespace flashbench::measure {

/// Processor time of this process, all threads together, in seconds.
struct CpuTime {
  double user_s = 0, system_s = 0;
};

/// Time is injected, so that sampling is tested without waiting and a device can bring its own
/// clock.
class Clock {
 public:
  virtual ~Clock() = default;

  /// Monotonic, in seconds since an arbitrary moment.
  virtual double now_s() = 0;
  virtual CpuTime cpu_time() = 0;
};

/// std::chrono::steady_clock and getrusage(RUSAGE_SELF).
class SteadyClock : public Clock {
 public:
  double now_s() override;
  CpuTime cpu_time() override;
};

}  // namespace flashbench::measure

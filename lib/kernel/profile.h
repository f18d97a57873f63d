#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernel/event_log.h"

namespace flashbench {

/// What a call of a phase does: the FLOP of its matrix products, and the bytes that it reads and
/// writes, every operand once, wherever it lies.
struct PhaseCost {
  double flop = 0;
  double bytes = 0;

  PhaseCost& operator+=(const PhaseCost& more) {
    flop += more.flop;
    bytes += more.bytes;
    return *this;
  }
  friend PhaseCost operator+(PhaseCost a, const PhaseCost& b) { return a += b; }
};

/// Time, work and memory by phase of one launch: each thread adds to its own row, so nothing is
/// shared.
class PhaseProfile {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Share {
    double seconds = 0;
    std::uint64_t calls = 0;
    PhaseCost cost = {};
  };
  struct Row {
    std::string phase;
    double seconds = 0;               ///< summed over threads
    std::uint64_t calls = 0;          ///< summed over threads
    std::size_t bytes = 0;            ///< allocated for this phase
    PhaseCost cost = {};              ///< summed over threads
    std::vector<Share> threads = {};  ///< one per thread
    /// What an emulated device executed in it: name and number. Empty where nothing counts.
    std::vector<std::pair<std::string, std::uint64_t>> counts = {};

    /// Times, calls, work and counts of another row of the phase; memory not.
    void add(const Row& more);
  };

  /// `events`: how many of its calls each thread remembers one by one, for a trace.
  PhaseProfile(std::vector<std::string> phases, int threads, std::size_t events = 0);

  void add(int thread, std::size_t phase, TimePoint start, TimePoint end, const PhaseCost& cost);
  /// Times, calls and work of another one of the same phases and threads; memory not.
  void add(const PhaseProfile& more);
  void add_bytes(std::size_t phase, std::size_t bytes) { bytes_[phase] += bytes; }

  std::vector<Row> rows() const;

  const std::vector<std::string>& phases() const { return phases_; }
  int threads() const { return static_cast<int>(slots_.size()); }
  const std::vector<EventLog::Event>& events(int thread) const {
    return slots_[static_cast<std::size_t>(thread)].log.events();
  }

 private:
  struct alignas(128) Slot {  // a pair of cache lines per thread: no false sharing
    std::vector<Share> cells;
    EventLog log;
  };
  std::vector<std::string> phases_;
  std::vector<std::size_t> bytes_;
  std::vector<Slot> slots_;
};

/// Adds its own lifetime, and what is done in it, to a phase; costs a branch when there is no
/// profile.
class PhaseTimer {
 public:
  PhaseTimer(PhaseProfile* profile, int thread, std::size_t phase, const PhaseCost& cost = {})
      : profile_(profile), thread_(thread), phase_(phase), cost_(cost) {
    if (profile_ != nullptr) start_ = std::chrono::steady_clock::now();
  }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;
  ~PhaseTimer() {
    if (profile_ != nullptr)
      profile_->add(thread_, phase_, start_, std::chrono::steady_clock::now(), cost_);
  }

  void add(const PhaseCost& more) { cost_ += more; }

 private:
  PhaseProfile* profile_;
  int thread_;
  std::size_t phase_;
  PhaseCost cost_;
  PhaseProfile::TimePoint start_;
};

/// Seconds that one PhaseTimer with a profile takes on this machine now (about 50 ns): a phase that
/// was called n times is that much longer than it would be.
double phase_timer_cost_s();

}  // namespace flashbench

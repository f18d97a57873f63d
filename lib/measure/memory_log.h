#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

namespace flashbench::measure {

/// The resident memory of this process over time, read until stop() whenever a timer's signal
/// (SIGALRM) comes, so that it takes no thread. For runs whose time does not count: the readings
/// take some of it. One at a time. The handler stays: a signal that is late must not end the
/// program.
class MemoryLog {
 public:
  struct Point {
    double time_s = 0;  ///< of the steady clock
    std::size_t bytes = 0;
  };

  MemoryLog();
  MemoryLog(const MemoryLog&) = delete;
  MemoryLog& operator=(const MemoryLog&) = delete;
  ~MemoryLog() { stop(); }

  void stop();

  /// In the order of time, at most kMostPoints. Empty where the system does not tell. After stop().
  const std::vector<Point>& points() const { return points_; }

  static constexpr std::size_t kMostPoints = 2000;

 private:
  static void on_alarm(int);
  bool read();
  void tick();

  std::vector<Point> points_;  ///< with room for all: a signal's handler must not allocate
  int file_ = -1;
  std::size_t every_ = 1, ticks_ = 0;  ///< one in `every_` ticks of the timer is a reading
  bool running_ = false;
};

}  // namespace flashbench::measure

#pragma once

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace flashbench::measure {

/// The resident memory of this process over time, read by a thread of its own until stop(). For
/// runs whose time does not count: the thread takes some of it.
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
  bool read();
  void watch();

  std::vector<Point> points_;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

}  // namespace flashbench::measure

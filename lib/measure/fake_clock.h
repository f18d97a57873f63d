#pragma once

#include <cstddef>
#include <initializer_list>
#include <vector>

#include "measure/clock.h"

namespace flashbench::measure {

/// A clock for tests: time passes only when told. A scripted launch takes the next duration of the
/// script, and the last one ever after: `FakeClock clock({9.0, 1.0}); subject.launch = [&] {
/// clock.run_next(); };` has a slow first run.
class FakeClock : public Clock {
 public:
  FakeClock() = default;
  FakeClock(std::initializer_list<double> script_s) : script_s_(script_s) {}
  explicit FakeClock(std::vector<double> script_s) : script_s_(std::move(script_s)) {}

  double now_s() override { return now_s_; }
  CpuTime cpu_time() override { return cpu_; }

  void advance(double seconds) {
    now_s_ += seconds;
    cpu_.user_s += seconds;
  }
  void run_next() {
    advance(script_s_.at(next_));
    if (next_ + 1 < script_s_.size()) ++next_;
    ++launches_;
  }
  int launches() const { return launches_; }

 private:
  std::vector<double> script_s_;
  std::size_t next_ = 0;
  int launches_ = 0;
  double now_s_ = 100.0;  // a clock's zero means nothing
  CpuTime cpu_;
};

}  // namespace flashbench::measure

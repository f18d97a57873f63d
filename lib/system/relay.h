#pragma once

#include <mutex>
#include <string>
#include <thread>

#include "system/process.h"

namespace flashbench::process {

/// Passes on to this process's standard error what another one writes, at once, and keeps the last
/// line that has something in it.
class Relay {
 public:
  /// Throws DeviceError where there are no descriptors left, UnavailableError where no thread can
  /// be started.
  Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  /// For the other process, which inherits it.
  int in() const { return in_.get(); }
  /// Once it was started: then what it wrote ends with it.
  void close_in() { in_.reset(); }

  /// Waits until what was written so far is passed on, and ends its last line where that has no
  /// end: what this process writes next begins a line.
  void end_line();

  /// The last line, up to its end or to what has come of it, at most some hundred bytes. To be
  /// called once all that write have ended, or to give up on them: nothing is passed on after it.
  std::string last_line();

 private:
  void pass_on();
  void keep(const char* text, std::size_t bytes);

  Descriptor in_, out_, stop_in_, stop_out_;
  std::mutex reading_;  ///< held from a read to what becomes of it
  std::string line_, last_;
  std::thread thread_;
};

}  // namespace flashbench::process

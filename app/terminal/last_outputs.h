#pragma once

#include <functional>
#include <string>
#include <vector>

#include "system/error.h"

namespace flashbench::app {

/// The files that a command writes at its end. Each is tried, whatever became of the others, so
/// that a full disk or a vanished folder takes neither them nor the table along. What was lost is
/// told on stderr, behind everything else: when this object ends.
class LastOutputs {
 public:
  LastOutputs() = default;
  LastOutputs(const LastOutputs&) = delete;
  LastOutputs& operator=(const LastOutputs&) = delete;
  ~LastOutputs();

  /// Whatever `write` throws says what was lost; an interruption is told by the exit code alone.
  void attempt(const std::function<void()>& write);
  void add_lost(const std::vector<std::string>& lines);

  /// `code`; interrupted_code() where one was interrupted, kFailed in the place of kOk where
  /// something was lost.
  ExitCode code(ExitCode code) const;

 private:
  std::vector<std::string> lost_;
  bool interrupted_ = false;
};

/// A line for stderr that says so of an unfinished report that could not be written, and that the
/// work goes on; "" for "".
std::string going_on(const std::string& why);

}  // namespace flashbench::app

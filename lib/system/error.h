#pragma once

#include <stdexcept>
#include <string>

namespace flashbench {

/// Exit codes of the program, the same for every command.
enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,       ///< a result is wrong, a case failed at run time
  kUsage = 2,        ///< input that no machine could accept
  kUnavailable = 3,  ///< a valid request, but nothing of it can run here
  kHungUp = 129,
  kInterrupted = 130,
  kTerminated = 143,
};

/// Input that no machine could accept. The message is one line: what, where, what would be right.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A valid request that cannot run on this machine (no such backend, ISA level, memory).
class UnavailableError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What was asked for does not fit into the memory that is left, of this machine or of a device.
class OutOfMemoryError : public UnavailableError {
  using UnavailableError::UnavailableError;
};

/// A device or the operating system failed while the work ran.
class DeviceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace flashbench

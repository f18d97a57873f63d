#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "cuda/device/driver_api.h"
#include "emulated_driver/behaviour.h"
#include "ptx/device.h"

// What the driver's functions share. Handles of the interface (CUcontext, CUmodule, ...) are
// pointers to these.
namespace flashbench::emulated_driver {

using cuda::DevicePointer;
using cuda::kSuccess;

inline constexpr Result kInvalidValue = 1, kOutOfMemory = 2, kInvalidDevice = 101,
                        kInvalidImage = 200, kInvalidContext = 201, kInvalidHandle = 400,
                        kInvalidPtx = 218, kNotFound = 500, kLaunchFailed = 719,
                        kNotSupported = 801;

/// A GPU, and its primary context.
struct Gpu {
  Gpu();

  ptx::Device device;
  std::map<DevicePointer, std::size_t> allocations;  ///< and their bytes
  int nameless = 0;                                  ///< how many of them nobody has named
  Result fault = kSuccess;                           ///< that ended its context
};

struct Module {
  Gpu* gpu;
  ptx::Module code;
};

struct Function {
  Module* module;
  std::string name;
  std::size_t dynamic_limit = std::size_t{48} << 10;  ///< of shared memory, until more is asked for
};

struct Event {
  Gpu* gpu;
  double recorded_s = -1;
};

/// They live as long as the process, like a driver's.
std::vector<std::unique_ptr<Gpu>>& gpus();

/// Of the thread's current context; nullptr: there is none. Below it, what was pushed.
Gpu*& current();
std::vector<Gpu*>& stack();
/// What a call returns that needs a context: its fault, or that there is none.
Result state();

/// What there is to say of an error, in a line, beyond its name; "" where that is nothing.
std::string failure_of(Result error);
/// The same to come. Returns the error.
Result failed(Result error, std::string why);
/// The same of what somebody asks for that is not here: no failure of whoever asks.
Result lacking(Result error, std::string why);
/// The same where whoever asks does so once and fails ever after, without another call: while
/// nothing else fails, this is the last failure from here on.
Result lacking_for_good(Result error, std::string why);

struct Failure {
  std::string why;
  bool lacks = false;  ///< told by lacking()
};
/// The last one, once; "": there was none since it was last taken, and nothing lacks for good.
Failure take_last_failure();

/// Held by every call that touches a GPU: callers may be threads, the emulated device is for one.
std::recursive_mutex& one_at_a_time();

/// What a call on the current context returns: its fault, or what `work` says. What that throws is
/// a bad argument.
template <typename Work>
Result guarded(Work work) {
  const std::lock_guard lock(one_at_a_time());
  if (const Result r = state(); r != kSuccess) return r;
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return failed(kOutOfMemory, "this machine has no more memory for the emulated device");
  } catch (const std::exception& e) {
    return failed(kInvalidValue, e.what());
  }
}

/// The same of a copy or a fill: what lies outside of memory is a finding, like that of a launch,
/// so that it is seen whoever ignores what the call returns.
template <typename Work>
Result accessing(Work work) {
  const std::lock_guard lock(one_at_a_time());
  if (const Result r = state(); r != kSuccess) return r;
  try {
    return work();
  } catch (const std::exception& e) {
    return current()->fault = failed(kLaunchFailed, e.what());
  }
}

/// A stream other than the default one has work, which the device takes some time for after all
/// else is done (see late_s()).
void begin_stream_work();
void finish_streams();

}  // namespace flashbench::emulated_driver

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
#include "emulated_driver/handles.h"
#include "ptx/device.h"

// What the driver's functions share. Handles of the interface (CUcontext, CUmodule, ...) are
// pointers to these.
namespace flashbench::emulated_driver {

using cuda::DevicePointer;
using cuda::kSuccess;

inline constexpr Result kInvalidValue = 1, kOutOfMemory = 2, kInvalidDevice = 101,
                        kInvalidImage = 200, kInvalidContext = 201, kInvalidHandle = 400,
                        kInvalidPtx = 218, kNotFound = 500, kContextIsDestroyed = 709,
                        kLaunchFailed = 719, kNotSupported = 801;

/// What cuMemAlloc has given.
struct Allocation {
  std::size_t bytes = 0;
  std::string name = {};  ///< of what the program has there, which a plug-in must not free; or ""
};

/// A GPU, and its primary context.
struct Gpu {
  Gpu();

  ptx::Device device;
  int retained = 0;  ///< its context
  std::map<DevicePointer, Allocation> allocations;
  int nameless = 0;         ///< how many of them nobody has named
  Result fault = kSuccess;  ///< that ended its context
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

/// Work is done as it is queued. Of a stream that does not wait for the default one by itself (it
/// is "non-blocking") it is counted, and how much of it somebody has waited for.
struct Stream {
  Gpu* gpu = nullptr;
  bool blocking = true;
  std::uint64_t queued = 0, joined = 0;
};

struct Event {
  Gpu* gpu;
  double recorded_s = -1;
  Stream* stream = nullptr;  ///< that it was recorded on, and what was queued there by then
  std::uint64_t queued = 0;
};

/// Those that are alive: what a call is given as a handle has to be one of them.
Handles<Module>& modules();
Handles<Function>& functions();
Handles<Stream>& streams();
Handles<Event>& events();

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

/// Of a call whose answer has no place to go to.
Result nowhere();

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
  } catch (const InvalidHandle& e) {
    return failed(kInvalidHandle, e.what());
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

/// The stream of a handle: null and the constants of <cuda.h> are the default one. Throws
/// InvalidHandle.
Stream& stream_of(void* handle);
/// It has work. The device takes some time for that of a stream other than the default one after
/// all else is done (see late_s()).
void queue_on(void* stream);
void finish_streams();

/// What a call returns that queues work on a stream.
template <typename Work>
Result on_stream(void* stream, Work work) {
  return guarded([&] {
    queue_on(stream);
    return work();
  });
}

}  // namespace flashbench::emulated_driver

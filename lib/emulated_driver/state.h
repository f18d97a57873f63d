#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <set>
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

inline constexpr Result kInvalidValue = 1, kOutOfMemory = 2, kInvalidImage = 200,
                        kInvalidContext = 201, kInvalidHandle = 400, kNotFound = 500,
                        kLaunchFailed = 719;

/// A GPU, and its primary context.
struct Gpu {
  Gpu();

  ptx::Device device;
  std::set<DevicePointer> allocations;
  Result fault = kSuccess;  ///< that ended its context
};

struct Module {
  Gpu* gpu;
  ptx::Module code;
};

struct Function {
  Module* module;
  std::string name;
};

struct Event {
  Gpu* gpu;
  double recorded_s = -1;
};

/// They live as long as the process, like a driver's.
std::vector<std::unique_ptr<Gpu>>& gpus();

/// Of the thread's current context; nullptr: there is none.
Gpu*& current();
/// What a call returns that needs a context: its fault, or that there is none.
Result state();

/// Why the last call failed that did, in a line.
std::string& last_failure();

/// What a call on the current context returns: its fault, or what `work` says; what that throws
/// ends the context.
template <typename Work>
Result guarded(Work work) {
  if (const Result r = state(); r != kSuccess) return r;
  try {
    return work();
  } catch (const std::exception& e) {
    last_failure() = e.what();
    return current()->fault = kLaunchFailed;
  }
}

}  // namespace flashbench::emulated_driver

#pragma once

#include <string>

#include "emulated_runtime/driver.h"

// What the runtime's functions share. Its errors have the numbers of the driver's (cudaError_t).
namespace flashbench::emulated_runtime {

using Error = Result;

inline constexpr Error kSuccess = 0, kInvalidValue = 1, kInvalidDeviceFunction = 98,
                       kInvalidDevice = 101, kNotFound = 500, kNotSupported = 801;

/// What a program registers: code, loaded at the first launch of one of its kernels.
struct Module {
  const void* image;  ///< the wrapper of a fat binary
  void* loaded = nullptr;
};

/// A kernel of it; a cudaKernel_t points to one.
struct Kernel {
  Module* module;
  std::string name;  ///< in the PTX
  void* loaded = nullptr;
};

Module& add_module(const void* image);
/// `host`: the function by which programs name it.
void add_kernel(Module& module, const void* host, std::string name);
/// By that function, or by the kernel itself; null: nobody has registered it.
Kernel* find_kernel(const void* function);

/// Of a call whose answer has no place to go to.
Error nowhere();

/// Makes sure of a context: the first device's where the thread has none.
Error use_device();
/// The driver's function behind a kernel.
Error load(Kernel& kernel, void** function);

/// The thread's last error, for cudaGetLastError.
Error& last_error();
/// An error on its way to the caller.
Error noted(Error error);
/// The same of `call`, once there is a context.
template <typename Call>
Error on_device(Call call) {
  const Error error = use_device();
  return noted(error != kSuccess ? error : call());
}

}  // namespace flashbench::emulated_runtime

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "emulated_driver/state.h"

// The driver's functions of devices and contexts.
using namespace flashbench::emulated_driver;

namespace {

bool is_gpu(int device) { return device >= 0 && device < static_cast<int>(gpus().size()); }

Result no_gpu(int device) {
  return failed(kInvalidDevice,
                fmt::format("there is no device {}; there are {}", device, gpus().size()));
}

/// What a call returns whose answer about a device goes to `place`.
template <typename Work>
Result of_gpu(int device, const void* place, Work work) {
  if (place == nullptr) return nowhere();
  return is_gpu(device) ? work() : no_gpu(device);
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

/// Of this driver alone: see ptx::Device::set_seed.
void flashbench_emulated_order(std::uint64_t seed) {
  for (const auto& gpu : gpus()) gpu->device.set_seed(seed);
}

/// Of this driver alone: why the last call that failed did so, once; "": none has since this was
/// last asked, and nothing lacks for good. `lacks` becomes 1 where it asked for what is not here,
/// else 0.
const char* flashbench_emulated_failure(int* lacks) {
  static thread_local std::string told;
  const Failure last = take_last_failure();
  told = last.why;
  *lacks = last.lacks ? 1 : 0;
  return told.c_str();
}

/// Of this driver alone, for the runtime over it: notes what somebody asks that for and is not
/// there. Returns CUDA_ERROR_NOT_SUPPORTED.
Result flashbench_emulated_lacking(const char* what) { return lacking(kNotSupported, what); }

/// The same of a call that the runtime itself refuses, with the reason. Returns
/// CUDA_ERROR_INVALID_VALUE.
Result flashbench_emulated_refused(const char* why) { return failed(kInvalidValue, why); }

Result cuInit(unsigned) { return init_result(); }

Result cuDriverGetVersion(int* version) {
  if (version == nullptr) return nowhere();
  *version = driver_version();
  return kSuccess;
}

Result cuDeviceGetCount(int* count) {
  if (count == nullptr) return nowhere();
  *count = static_cast<int>(gpus().size());
  return kSuccess;
}

Result cuDeviceGet(int* device, int index) {
  return of_gpu(index, device, [&] {
    *device = index;
    return kSuccess;
  });
}

Result cuDeviceGetName(char* name, int bytes, int device) {
  return of_gpu(device, name, [&] {
    std::snprintf(name, static_cast<std::size_t>(bytes), "%s", gpu_name());
    return kSuccess;
  });
}

Result cuDeviceGetPCIBusId(char* id, int bytes, int device) {
  return of_gpu(device, id, [&] {
    std::snprintf(id, static_cast<std::size_t>(bytes), "0000:%02X:00.0", 0x3a + device);
    return kSuccess;
  });
}

Result cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (value == nullptr) return nowhere();
  if (!is_gpu(device)) return no_gpu(device);
  using namespace flashbench::cuda;
  constexpr int kMaxThreadsPerBlock = 1, kSharedBytes = 8, kWarpSize = 10, kMaxRegisters = 12,
                kMaxThreadsPerMultiprocessor = 39, kSharedBytesOfMultiprocessor = 81;
  const std::map<int, int> values = {{kMultiprocessorCount, 1},
                                     {kL2CacheSize, 1 << 20},
                                     {kCapabilityMajor, 9},
                                     {kCapabilityMinor, 0},
                                     {kSharedBytesOptin, 227 << 10},
                                     {kMaxThreadsPerBlock, 1024},
                                     {kSharedBytes, 48 << 10},
                                     {kWarpSize, 32},
                                     {kMaxRegisters, 65536},
                                     {kMaxThreadsPerMultiprocessor, 2048},
                                     {kSharedBytesOfMultiprocessor, 228 << 10}};
  const auto found = values.find(attribute);
  if (found == values.end())
    return lacking(
        kInvalidValue,
        fmt::format("attribute {} of a device (CUdevice_attribute) is not known here", attribute));
  *value = found->second;
  return kSuccess;
}

Result cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
  return of_gpu(device, bytes, [&] {
    *bytes = memory_bytes();
    return kSuccess;
  });
}

Result cuDevicePrimaryCtxRetain(void** context, int device) {
  return of_gpu(device, context, [&] {
    const std::lock_guard lock(one_at_a_time());
    Gpu& gpu = *gpus().at(static_cast<std::size_t>(device));
    if (gpu.retained++ == 0 && gpu.fault == kContextIsDestroyed) gpu.fault = kSuccess;
    *context = &gpu;
    return kSuccess;
  });
}

/// The last one takes the context with it.
Result cuDevicePrimaryCtxRelease_v2(int device) {
  if (!is_gpu(device)) return no_gpu(device);
  const std::lock_guard lock(one_at_a_time());
  Gpu& gpu = *gpus().at(static_cast<std::size_t>(device));
  if (gpu.retained == 0)
    return failed(kInvalidContext, "the primary context was released more often than retained");
  if (--gpu.retained > 0) return kSuccess;
  for (const auto& [address, allocation] : gpu.allocations) gpu.device.free(address);
  gpu.allocations.clear();
  if (gpu.fault == kSuccess)
    gpu.fault = failed(kContextIsDestroyed,
                       "the primary context was released as often as it had been retained, by the "
                       "program too, and is gone");
  return kSuccess;
}

Result cuCtxSetCurrent(void* context) {
  const auto is_it = [&](const auto& gpu) { return gpu.get() == context; };
  if (context != nullptr && std::none_of(gpus().begin(), gpus().end(), is_it))
    return failed(kInvalidContext, fmt::format("{} is no context", context));
  current() = static_cast<Gpu*>(context);
  return kSuccess;
}

Result cuCtxGetCurrent(void** context) {
  if (context == nullptr) return nowhere();
  *context = current();
  return kSuccess;
}

Result cuCtxGetDevice(int* device) {
  if (device == nullptr) return nowhere();
  if (current() == nullptr) return state();
  for (std::size_t i = 0; i < gpus().size(); ++i)
    if (gpus()[i].get() == current()) *device = static_cast<int>(i);
  return kSuccess;
}

Result cuCtxPushCurrent_v2(void* context) {
  Gpu* const below = current();
  const Result result = cuCtxSetCurrent(context);
  if (result == kSuccess) stack().push_back(below);
  return result;
}

Result cuCtxPopCurrent_v2(void** context) {
  if (stack().empty())
    return failed(kInvalidContext, "contexts are popped more often than they were pushed");
  if (context != nullptr) *context = current();
  current() = stack().back();
  stack().pop_back();
  return kSuccess;
}

}  // extern "C"
#pragma GCC visibility pop

#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "emulated_driver/state.h"

// The driver's functions of devices, contexts and memory. Every one is synchronous: streams and
// asynchronous copies are done when the call returns.
using namespace flashbench::emulated_driver;
using flashbench::cuda::DevicePointer;
namespace ptx = flashbench::ptx;

namespace {

bool is_gpu(int device) { return device >= 0 && device < static_cast<int>(gpus().size()); }

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

/// Of this driver alone: see ptx::Device::set_seed.
void flashbench_emulated_order(std::uint64_t seed) {
  for (const auto& gpu : gpus()) gpu->device.set_seed(seed);
}

/// Of this driver alone: what findings call the memory that cuMemAlloc has just given, and how
/// elements lie there; `rank` may be 0.
void flashbench_emulated_name(DevicePointer address, const char* name, std::size_t element_bytes,
                              std::size_t rank, const std::int64_t* shape,
                              const std::int64_t* strides) {
  guarded([&] {
    ptx::Elements elements{element_bytes, {shape, shape + rank}, {strides, strides + rank}};
    current()->device.describe(address, name, std::move(elements));
    --current()->nameless;
    return kSuccess;
  });
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

Result cuInit(unsigned) { return init_result(); }

Result cuDriverGetVersion(int* version) {
  *version = driver_version();
  return kSuccess;
}

Result cuDeviceGetCount(int* count) {
  *count = static_cast<int>(gpus().size());
  return kSuccess;
}

Result cuDeviceGet(int* device, int index) {
  *device = index;
  return is_gpu(index) ? kSuccess : kInvalidDevice;
}

Result cuDeviceGetName(char* name, int bytes, int device) {
  if (!is_gpu(device)) return kInvalidDevice;
  std::snprintf(name, static_cast<std::size_t>(bytes), "%s", gpu_name());
  return kSuccess;
}

Result cuDeviceGetPCIBusId(char* id, int bytes, int device) {
  if (!is_gpu(device)) return kInvalidDevice;
  std::snprintf(id, static_cast<std::size_t>(bytes), "0000:%02X:00.0", 0x3a + device);
  return kSuccess;
}

Result cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (!is_gpu(device)) return kInvalidDevice;
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
  if (!is_gpu(device)) return kInvalidDevice;
  *bytes = memory_bytes();
  return kSuccess;
}

Result cuDevicePrimaryCtxRetain(void** context, int device) {
  if (!is_gpu(device)) return kInvalidDevice;
  *context = gpus().at(static_cast<std::size_t>(device)).get();
  return kSuccess;
}

Result cuDevicePrimaryCtxRelease_v2(int) { return kSuccess; }

Result cuCtxSetCurrent(void* context) {
  current() = static_cast<Gpu*>(context);
  return kSuccess;
}

Result cuCtxGetCurrent(void** context) {
  *context = current();
  return kSuccess;
}

Result cuCtxGetDevice(int* device) {
  if (current() == nullptr) return kInvalidContext;
  for (std::size_t i = 0; i < gpus().size(); ++i)
    if (gpus()[i].get() == current()) *device = static_cast<int>(i);
  return kSuccess;
}

Result cuCtxPushCurrent_v2(void* context) {
  stack().push_back(current());
  return cuCtxSetCurrent(context);
}

Result cuCtxPopCurrent_v2(void** context) {
  if (stack().empty()) return kInvalidContext;
  if (context != nullptr) *context = current();
  current() = stack().back();
  stack().pop_back();
  return kSuccess;
}

Result cuCtxSynchronize() {
  finish_streams();
  return state();
}

Result cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  return guarded([&] {
    *total = memory_bytes();
    const std::size_t left = *total - std::min(*total, current()->device.allocated_bytes());
    *free = claimed_free_bytes().value_or(left);
    return kSuccess;
  });
}

Result cuMemAlloc_v2(DevicePointer* address, std::size_t bytes) {
  return guarded([&] {
    if (bytes == 0) return kInvalidValue;
    if (current()->device.allocated_bytes() + bytes > memory_bytes()) return kOutOfMemory;
    *address = current()->device.alloc(
        bytes, fmt::format("allocation {} by cuMemAlloc", ++current()->nameless));
    current()->allocations[*address] = bytes;
    return kSuccess;
  });
}

Result cuMemAllocAsync(DevicePointer* address, std::size_t bytes, void*) {
  return cuMemAlloc_v2(address, bytes);
}

Result cuMemFree_v2(DevicePointer address) {
  return guarded([&] {
    if (current()->allocations.erase(address) == 0) return kInvalidValue;
    current()->device.free(address);
    return kSuccess;
  });
}

Result cuMemFreeAsync(DevicePointer address, void*) { return cuMemFree_v2(address); }

/// The allocation that an address lies in; `base` and `bytes` may be null.
Result cuMemGetAddressRange_v2(DevicePointer* base, std::size_t* bytes, DevicePointer address) {
  return guarded([&] {
    const auto& all = current()->allocations;
    const auto after = all.upper_bound(address);
    if (after == all.begin()) return kNotFound;
    const auto& [begins, has] = *std::prev(after);
    if (address - begins >= has) return kNotFound;
    if (base != nullptr) *base = begins;
    if (bytes != nullptr) *bytes = has;
    return kSuccess;
  });
}

Result cuMemcpyHtoD_v2(DevicePointer to, const void* from, std::size_t bytes) {
  return accessing([&] {
    current()->device.copy_in(to, {static_cast<const std::byte*>(from), bytes});
    return kSuccess;
  });
}

Result cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, std::size_t bytes, void*) {
  return cuMemcpyHtoD_v2(to, from, bytes);
}

Result cuMemcpyDtoH_v2(void* to, DevicePointer from, std::size_t bytes) {
  return accessing([&] {
    current()->device.copy_out({static_cast<std::byte*>(to), bytes}, from);
    return kSuccess;
  });
}

Result cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, std::size_t bytes, void*) {
  return cuMemcpyDtoH_v2(to, from, bytes);
}

Result cuMemcpyDtoD_v2(DevicePointer to, DevicePointer from, std::size_t bytes) {
  return accessing([&] {
    std::vector<std::byte> copy(bytes);
    current()->device.copy_out(copy, from);
    current()->device.copy_in(to, copy);
    return kSuccess;
  });
}

Result cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, std::size_t bytes, void*) {
  return cuMemcpyDtoD_v2(to, from, bytes);
}

Result cuMemsetD8_v2(DevicePointer to, unsigned char value, std::size_t bytes) {
  return accessing([&] {
    current()->device.fill(to, std::byte{value}, bytes);
    return kSuccess;
  });
}

Result cuMemsetD8Async(DevicePointer to, unsigned char value, std::size_t bytes, void*) {
  return cuMemsetD8_v2(to, value, bytes);
}

Result cuMemsetD32_v2(DevicePointer to, unsigned value, std::size_t count) {
  const std::vector<unsigned> values(count, value);
  return cuMemcpyHtoD_v2(to, values.data(), 4 * count);
}

Result cuMemsetD32Async(DevicePointer to, unsigned value, std::size_t count, void*) {
  return cuMemsetD32_v2(to, value, count);
}

}  // extern "C"
#pragma GCC visibility pop

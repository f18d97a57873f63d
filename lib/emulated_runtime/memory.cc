#include <cstdlib>
#include <cstring>

#include "emulated_runtime/state.h"

// The runtime's functions of memory. As the driver's, they are done when the call returns.
using namespace flashbench::emulated_runtime;

namespace {

DevicePointer on_gpu(const void* p) { return reinterpret_cast<DevicePointer>(p); }

/// cudaMemcpyKind. What would have to be guessed (cudaMemcpyDefault) is not supported: addresses of
/// the emulated device may be those of this process.
enum Direction { kHostToHost, kHostToDevice, kDeviceToHost, kDeviceToDevice };

/// cudaPointerAttributes, as far as all versions agree.
struct PointerAttributes {
  int type, device;
  void *on_device, *on_host;
};
constexpr int kUnregistered = 0, kDeviceMemory = 2, kNoDevice = -2;

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

Error cudaMalloc(void** address, std::size_t bytes) {
  *address = nullptr;
  if (bytes == 0) return kSuccess;
  return on_device([&] {
    DevicePointer given = 0;
    const Error error = cuMemAlloc_v2(&given, bytes);
    *address = reinterpret_cast<void*>(given);
    return error;
  });
}
Error cudaMallocAsync(void** address, std::size_t bytes, void*) {
  return cudaMalloc(address, bytes);
}

Error cudaFree(void* address) {
  return on_device([&] { return address == nullptr ? kSuccess : cuMemFree_v2(on_gpu(address)); });
}
Error cudaFreeAsync(void* address, void*) { return cudaFree(address); }

Error cudaMallocHost(void** address, std::size_t bytes) {
  *address = std::malloc(bytes);
  constexpr Error kMemoryAllocation = 2;
  return noted(*address == nullptr ? kMemoryAllocation : kSuccess);
}
Error cudaHostAlloc(void** address, std::size_t bytes, unsigned) {
  return cudaMallocHost(address, bytes);
}
Error cudaFreeHost(void* address) {
  std::free(address);
  return kSuccess;
}

Error cudaMemcpy(void* to, const void* from, std::size_t bytes, int direction) {
  return on_device([&] {
    switch (direction) {
      case kHostToHost:
        std::memcpy(to, from, bytes);
        return kSuccess;
      case kHostToDevice:
        return cuMemcpyHtoD_v2(on_gpu(to), from, bytes);
      case kDeviceToHost:
        return cuMemcpyDtoH_v2(to, on_gpu(from), bytes);
      case kDeviceToDevice:
        return cuMemcpyDtoD_v2(on_gpu(to), on_gpu(from), bytes);
      default:
        return flashbench_emulated_lacking(
            "cudaMemcpyDefault is not there: its direction would have to be guessed");
    }
  });
}
Error cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, int direction, void*) {
  return cudaMemcpy(to, from, bytes, direction);
}

Error cudaMemset(void* to, int value, std::size_t bytes) {
  return on_device(
      [&] { return cuMemsetD8_v2(on_gpu(to), static_cast<unsigned char>(value), bytes); });
}
Error cudaMemsetAsync(void* to, int value, std::size_t bytes, void*) {
  return cudaMemset(to, value, bytes);
}

Error cudaPointerGetAttributes(PointerAttributes* attributes, const void* address) {
  return on_device([&] {
    *attributes = {kUnregistered, kNoDevice, nullptr, const_cast<void*>(address)};
    const Error error = cuMemGetAddressRange_v2(nullptr, nullptr, on_gpu(address));
    if (error == kNotFound) return kSuccess;
    *attributes = {kDeviceMemory, 0, const_cast<void*>(address), nullptr};
    return error;
  });
}

Error cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return on_device([&] { return cuMemGetInfo_v2(free, total); });
}

}  // extern "C"
#pragma GCC visibility pop

#include <cstdlib>
#include <cstring>
#include <string>

#include "emulated_runtime/state.h"

// The runtime's functions of memory. As the driver's, they are done when the call returns.
using namespace flashbench::emulated_runtime;

namespace {

DevicePointer on_gpu(const void* p) { return reinterpret_cast<DevicePointer>(p); }

/// cudaMemcpyKind. What would have to be guessed (cudaMemcpyDefault) is not supported: addresses of
/// the emulated device may be those of this process.
enum Direction { kHostToHost, kHostToDevice, kDeviceToHost, kDeviceToDevice, kGuessed };

/// cudaPointerAttributes, as far as all versions agree.
struct PointerAttributes {
  int type, device;
  void *on_device, *on_host;
};
constexpr int kUnregistered = 0, kDeviceMemory = 2, kNoDevice = -2;

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

Error cudaMallocAsync(void** address, std::size_t bytes, void* stream) {
  return on_device([&] {
    if (address == nullptr) return nowhere();
    *address = nullptr;
    if (bytes == 0) return kSuccess;
    DevicePointer given = 0;
    const Error error = cuMemAllocAsync(&given, bytes, stream);
    *address = reinterpret_cast<void*>(given);
    return error;
  });
}
Error cudaMalloc(void** address, std::size_t bytes) {
  return cudaMallocAsync(address, bytes, nullptr);
}

Error cudaFreeAsync(void* address, void* stream) {
  return on_device(
      [&] { return address == nullptr ? kSuccess : cuMemFreeAsync(on_gpu(address), stream); });
}
Error cudaFree(void* address) { return cudaFreeAsync(address, nullptr); }

Error cudaMallocHost(void** address, std::size_t bytes) {
  if (address == nullptr) return noted(nowhere());
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

Error cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, int direction, void* stream) {
  return on_device([&] {
    switch (direction) {
      case kHostToHost:
        if (bytes > 0 && (to == nullptr || from == nullptr))
          return flashbench_emulated_refused("an end of a copy is a null pointer");
        if (bytes > 0) std::memcpy(to, from, bytes);
        return kSuccess;
      case kHostToDevice:
        return cuMemcpyHtoDAsync_v2(on_gpu(to), from, bytes, stream);
      case kDeviceToHost:
        return cuMemcpyDtoHAsync_v2(to, on_gpu(from), bytes, stream);
      case kDeviceToDevice:
        return cuMemcpyDtoDAsync_v2(on_gpu(to), on_gpu(from), bytes, stream);
      case kGuessed:
        return flashbench_emulated_lacking(
            "cudaMemcpyDefault is not there: its direction would have to be guessed");
      default:
        return flashbench_emulated_refused(
            (std::to_string(direction) + " is no cudaMemcpyKind").c_str());
    }
  });
}
Error cudaMemcpy(void* to, const void* from, std::size_t bytes, int direction) {
  return cudaMemcpyAsync(to, from, bytes, direction, nullptr);
}

Error cudaMemsetAsync(void* to, int value, std::size_t bytes, void* stream) {
  return on_device([&] {
    return cuMemsetD8Async(on_gpu(to), static_cast<unsigned char>(value), bytes, stream);
  });
}
Error cudaMemset(void* to, int value, std::size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}

Error cudaPointerGetAttributes(PointerAttributes* attributes, const void* address) {
  return on_device([&] {
    if (attributes == nullptr) return nowhere();
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

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

// The part of the CUDA driver's interface that this backend calls, declared here so that neither a
// build nor a program needs anything of CUDA. The signatures and numbers are those of <cuda.h>.
namespace flashbench::cuda {

using Result = int;                        // CUresult
using DevicePointer = unsigned long long;  // CUdeviceptr

inline constexpr Result kSuccess = 0, kOutOfMemory = 2, kStubLibrary = 34;
inline constexpr int kMultiprocessorCount = 16, kL2CacheSize = 38, kCapabilityMajor = 75,
                     kCapabilityMinor = 76, kSharedBytesOptin = 97;  // CUdevice_attribute
inline constexpr int kMaxDynamicSharedBytes = 8;                     // CUfunction_attribute
// CUtensorMapDataType, -Interleave, -Swizzle, -L2promotion, -FloatOOBfill
inline constexpr int kMap16Bits = 1, kMapNoInterleave = 0, kMapSwizzle128 = 3, kMapPromote256 = 3,
                     kMapZeros = 0;

struct DriverApi {
  Result (*init)(unsigned flags);
  Result (*driver_version)(int* version);
  Result (*device_count)(int* count);
  Result (*device_get)(int* device, int index);
  Result (*device_name)(char* name, int bytes, int device);
  Result (*device_attribute)(int* value, int attribute, int device);
  Result (*device_memory)(std::size_t* bytes, int device);
  Result (*device_pci_bus_id)(char* id, int bytes, int device);
  Result (*context_retain)(void** context, int device);
  Result (*context_set)(void* context);
  Result (*context_wait)();
  Result (*memory_info)(std::size_t* free, std::size_t* total);
  Result (*allocate)(DevicePointer* address, std::size_t bytes);
  Result (*release)(DevicePointer address);
  Result (*to_device)(DevicePointer to, const void* from, std::size_t bytes);
  Result (*to_host)(void* to, DevicePointer from, std::size_t bytes);
  Result (*set_bytes)(DevicePointer to, unsigned char value, std::size_t bytes, void* stream);
  Result (*module_load)(void** module, const void* image);
  Result (*module_function)(void** function, void* module, const char* name);
  Result (*function_set)(void* function, int attribute, int value);
  Result (*launch)(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   void* stream, void** parameters, void** extra);
  Result (*tensor_map_encode)(void* map, int type, unsigned rank, void* address,
                              const std::uint64_t* size, const std::uint64_t* stride,
                              const std::uint32_t* box, const std::uint32_t* steps, int interleave,
                              int swizzle, int promotion, int fill);
  Result (*event_create)(void** event, unsigned flags);
  Result (*event_record)(void* event, void* stream);
  Result (*event_wait)(void* event);
  Result (*event_elapsed)(float* milliseconds, void* start, void* end);
  Result (*error_name)(Result error, const char** name);
  Result (*error_text)(Result error, const char** text);
};

/// Loads libcuda.so.1, once. On failure returns nullptr and says why in `absent`.
const DriverApi* load_driver(std::string& absent);

/// "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY (out of memory)"; the number of an error that the driver
/// has no name for. Of the toolkit's stub, which answers nothing else, what it is.
std::string error_line(const DriverApi& api, const std::string& call, Result error);

}  // namespace flashbench::cuda

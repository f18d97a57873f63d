#pragma once

#include <cstddef>
#include <cstdint>

// The driver's functions that the runtime stands on, as <cuda.h> declares them.
namespace flashbench::emulated_runtime {

using Result = int;                        // CUresult
using DevicePointer = unsigned long long;  // CUdeviceptr

extern "C" {
/// Of the emulated driver alone: notes what somebody asks the runtime for and is not there. Returns
/// CUDA_ERROR_NOT_SUPPORTED.
Result flashbench_emulated_lacking(const char* what);
/// The same of a call that is refused. Returns CUDA_ERROR_INVALID_VALUE.
Result flashbench_emulated_refused(const char* why);
Result cuInit(unsigned flags);
Result cuDriverGetVersion(int* version);
Result cuDeviceGetCount(int* count);
Result cuDeviceGetAttribute(int* value, int attribute, int device);
Result cuDevicePrimaryCtxRetain(void** context, int device);
Result cuCtxGetCurrent(void** context);
Result cuCtxSetCurrent(void* context);
Result cuCtxGetDevice(int* device);
Result cuCtxSynchronize();
Result cuMemGetInfo_v2(std::size_t* free, std::size_t* total);
Result cuMemAllocAsync(DevicePointer* address, std::size_t bytes, void* stream);
Result cuMemFreeAsync(DevicePointer address, void* stream);
Result cuMemGetAddressRange_v2(DevicePointer* base, std::size_t* bytes, DevicePointer address);
Result cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, std::size_t bytes, void* stream);
Result cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, std::size_t bytes, void* stream);
Result cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, std::size_t bytes, void* stream);
Result cuMemsetD8Async(DevicePointer to, unsigned char value, std::size_t bytes, void* stream);
Result cuModuleLoadData(void** module, const void* image);
Result cuModuleGetFunction(void** function, void* module, const char* name);
Result cuFuncSetAttribute(void* function, int attribute, int value);
Result cuFuncGetAttribute(int* value, int attribute, void* function);
Result cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                      void* stream, void** parameters, void** extra);
Result cuStreamCreate(void** stream, unsigned flags);
Result cuStreamDestroy_v2(void* stream);
Result cuStreamSynchronize(void* stream);
Result cuStreamQuery(void* stream);
Result cuStreamWaitEvent(void* stream, void* event, unsigned flags);
Result cuEventCreate(void** event, unsigned flags);
Result cuEventDestroy_v2(void* event);
Result cuEventRecord(void* event, void* stream);
Result cuEventSynchronize(void* event);
Result cuEventQuery(void* event);
Result cuEventElapsedTime(float* milliseconds, void* start, void* end);
Result cuGetErrorName(Result error, const char** name);
Result cuGetErrorString(Result error, const char** text);
Result cuGetProcAddress_v2(const char* name, void** function, int version, std::uint64_t flags,
                           int* found);
}

}  // namespace flashbench::emulated_runtime

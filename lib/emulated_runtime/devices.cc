#include "emulated_runtime/state.h"

// The runtime's functions of devices, streams, events and errors.
using namespace flashbench::emulated_runtime;

#pragma GCC visibility push(default)
extern "C" {

Error cudaDriverGetVersion(int* version) { return noted(cuDriverGetVersion(version)); }

Error cudaGetDeviceCount(int* count) { return noted(cuDeviceGetCount(count)); }
Error cudaGetDevice(int* device) {
  return on_device([&] { return cuCtxGetDevice(device); });
}
Error cudaSetDevice(int device) {
  void* context = nullptr;
  const Error error = cuDevicePrimaryCtxRetain(&context, device);
  return noted(error != kSuccess ? error : cuCtxSetCurrent(context));
}
Error cudaDeviceGetAttribute(int* value, int attribute, int device) {
  return noted(cuDeviceGetAttribute(value, attribute, device));
}
Error cudaDeviceSynchronize() { return on_device(cuCtxSynchronize); }

Error cudaStreamCreateWithFlags(void** stream, unsigned flags) {
  return on_device([&] { return cuStreamCreate(stream, flags); });
}
Error cudaStreamCreate(void** stream) { return cudaStreamCreateWithFlags(stream, 0); }
Error cudaStreamCreateWithPriority(void** stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
Error cudaStreamDestroy(void* stream) {
  return on_device([&] { return cuStreamDestroy_v2(stream); });
}
Error cudaStreamSynchronize(void* stream) {
  return on_device([&] { return cuStreamSynchronize(stream); });
}
Error cudaStreamQuery(void* stream) {
  return on_device([&] { return cuStreamQuery(stream); });
}
Error cudaStreamWaitEvent(void* stream, void* event, unsigned flags) {
  return on_device([&] { return cuStreamWaitEvent(stream, event, flags); });
}
/// cudaStreamCaptureStatusNone: nothing is captured here.
Error cudaStreamIsCapturing(void*, int* status) {
  if (status == nullptr) return noted(nowhere());
  *status = 0;
  return kSuccess;
}

Error cudaEventCreateWithFlags(void** event, unsigned flags) {
  return on_device([&] { return cuEventCreate(event, flags); });
}
Error cudaEventCreate(void** event) { return cudaEventCreateWithFlags(event, 0); }
Error cudaEventDestroy(void* event) {
  return on_device([&] { return cuEventDestroy_v2(event); });
}
Error cudaEventRecord(void* event, void* stream) {
  return on_device([&] { return cuEventRecord(event, stream); });
}
Error cudaEventSynchronize(void* event) {
  return on_device([&] { return cuEventSynchronize(event); });
}
Error cudaEventQuery(void* event) {
  return on_device([&] { return cuEventQuery(event); });
}
Error cudaEventElapsedTime(float* milliseconds, void* start, void* end) {
  return on_device([&] { return cuEventElapsedTime(milliseconds, start, end); });
}

Error cudaGetLastError() {
  const Error last = last_error();
  last_error() = kSuccess;
  return last;
}
Error cudaPeekAtLastError() { return last_error(); }

const char* cudaGetErrorName(Error error) {
  if (error == kSuccess) return "cudaSuccess";
  if (error == kInvalidDeviceFunction) return "cudaErrorInvalidDeviceFunction";
  const char* name = nullptr;
  cuGetErrorName(error, &name);
  return name == nullptr ? "unrecognized error code" : name;
}
const char* cudaGetErrorString(Error error) {
  if (error == kSuccess) return "no error";
  if (error == kInvalidDeviceFunction) return "a kernel that nobody has registered";
  const char* text = nullptr;
  cuGetErrorString(error, &text);
  return text;
}

}  // extern "C"
#pragma GCC visibility pop

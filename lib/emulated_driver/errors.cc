#include <dlfcn.h>

#include <cstdint>
#include <map>
#include <string>

#include "emulated_driver/state.h"

// The driver's functions of errors and of what of it is there.
using namespace flashbench::emulated_driver;

#pragma GCC visibility push(default)
extern "C" {

Result cuGetErrorName(Result error, const char** name) {
  const std::map<Result, const char*> names = {
      {kSuccess, "CUDA_SUCCESS"},
      {kInvalidValue, "CUDA_ERROR_INVALID_VALUE"},
      {kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"},
      {100, "CUDA_ERROR_NO_DEVICE"},
      {kInvalidDevice, "CUDA_ERROR_INVALID_DEVICE"},
      {kInvalidImage, "CUDA_ERROR_INVALID_IMAGE"},
      {kInvalidContext, "CUDA_ERROR_INVALID_CONTEXT"},
      {214, "CUDA_ERROR_ECC_UNCORRECTABLE"},
      {kInvalidHandle, "CUDA_ERROR_INVALID_HANDLE"},
      {kInvalidPtx, "CUDA_ERROR_INVALID_PTX"},
      {kNotFound, "CUDA_ERROR_NOT_FOUND"},
      {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
      {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
      {kContextIsDestroyed, "CUDA_ERROR_CONTEXT_IS_DESTROYED"},
      {kLaunchFailed, "CUDA_ERROR_LAUNCH_FAILED"},
      {kNotSupported, "CUDA_ERROR_NOT_SUPPORTED"}};
  if (name == nullptr) return nowhere();
  const auto found = names.find(error);
  *name = found == names.end() ? nullptr : found->second;
  return found == names.end() ? kInvalidValue : kSuccess;
}

Result cuGetErrorString(Result error, const char** text) {
  static thread_local std::string told;
  if (text == nullptr) return nowhere();
  told = error == kSuccess ? "no error" : told_of_errors();
  if (told.empty()) told = failure_of(error);
  if (told.empty()) told = "no more is known";
  *text = told.c_str();
  return kSuccess;
}

/// By the names that <cuda.h> gives them, of which some are those of a second version.
Result cuGetProcAddress_v2(const char* name, void** function, int, std::uint64_t, int* found) {
  if (name == nullptr || function == nullptr) return nowhere();
  Dl_info own{};
  ::dladdr(reinterpret_cast<const void*>(&cuGetErrorName), &own);
  void* const library = ::dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  for (const std::string& symbol : {std::string(name) + "_v2", std::string(name)}) {
    void* const at = ::dlsym(library, symbol.c_str());
    if (at == nullptr) continue;
    *function = at;
    if (found != nullptr) *found = 0;
    return kSuccess;
  }
  *function = nullptr;
  if (found != nullptr) *found = 1;
  return kNotFound;
}

/// The CUDA runtime's door to what no documentation describes; it asks once and keeps the error.
Result cuGetExportTable(const void** table, const void*) {
  if (table != nullptr) *table = nullptr;
  return lacking_for_good(
      kNotSupported,
      "its CUDA runtime asks for what only CUDA's own driver has; link that of CUDA 12 "
      "or 13 as a library (nvcc -cudart shared)");
}

}  // extern "C"
#pragma GCC visibility pop

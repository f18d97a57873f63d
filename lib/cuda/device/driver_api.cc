#include "cuda/device/driver_api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "cuda/device/loader.h"

namespace flashbench::cuda {
namespace {

/// In the versions whose signatures the table declares.
DriverApi find_all(Loader& from) {
  DriverApi api{};
  from.find(api.init, "cuInit");
  from.find(api.driver_version, "cuDriverGetVersion");
  from.find(api.device_count, "cuDeviceGetCount");
  from.find(api.device_get, "cuDeviceGet");
  from.find(api.device_name, "cuDeviceGetName");
  from.find(api.device_attribute, "cuDeviceGetAttribute");
  from.find(api.device_memory, "cuDeviceTotalMem_v2");
  from.find(api.device_pci_bus_id, "cuDeviceGetPCIBusId");
  from.find(api.context_retain, "cuDevicePrimaryCtxRetain");
  from.find(api.context_set, "cuCtxSetCurrent");
  from.find(api.context_wait, "cuCtxSynchronize");
  from.find(api.memory_info, "cuMemGetInfo_v2");
  from.find(api.allocate, "cuMemAlloc_v2");
  from.find(api.release, "cuMemFree_v2");
  from.find(api.to_device, "cuMemcpyHtoD_v2");
  from.find(api.to_host, "cuMemcpyDtoH_v2");
  from.find(api.set_bytes, "cuMemsetD8Async");
  from.find(api.module_load, "cuModuleLoadData");
  from.find(api.module_function, "cuModuleGetFunction");
  from.find(api.function_set, "cuFuncSetAttribute");
  from.find(api.launch, "cuLaunchKernel");
  from.find(api.tensor_map_encode, "cuTensorMapEncodeTiled");
  from.find(api.event_create, "cuEventCreate");
  from.find(api.event_record, "cuEventRecord");
  from.find(api.event_wait, "cuEventSynchronize");
  from.find(api.event_elapsed, "cuEventElapsedTime");
  from.find(api.error_name, "cuGetErrorName");
  from.find(api.error_text, "cuGetErrorString");
  return api;
}

Loaded<DriverApi> load() {
  void* const library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {.absent = "no CUDA driver: libcuda.so.1 was not found"};
  Loader loader(library);
  const DriverApi api = find_all(loader);
  if (loader.missing().empty()) return {.api = api};
  return {.absent = fmt::format("the CUDA driver is too old: its libcuda.so.1 lacks {}",
                                loader.missing())};
}

}  // namespace

const DriverApi* load_driver(std::string& absent) {
  static const Loaded<DriverApi> loaded = load();
  return loaded.get(absent);
}

std::string error_line(const DriverApi& api, const std::string& call, Result error) {
  if (error == kStubLibrary)
    return fmt::format(
        "{}: CUDA_ERROR_STUB_LIBRARY ({}): this is the toolkit's stub of libcuda, which is there "
        "to "
        "be linked with; take its folder out of LD_LIBRARY_PATH, so that the driver's is found",
        call, error);
  const char* name = nullptr;
  const char* text = nullptr;
  const bool named = api.error_name(error, &name) == kSuccess && name != nullptr;
  if (api.error_text(error, &text) != kSuccess || text == nullptr) text = "no description";
  return fmt::format("{}: {} ({})", call, named ? name : fmt::format("CUDA error {}", error), text);
}

}  // namespace flashbench::cuda

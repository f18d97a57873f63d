#include "cuda/device/nvml_api.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace flashbench::cuda {
namespace {

template <typename F>
void find(void* library, F& function, const char* name) {
  function = reinterpret_cast<F>(::dlsym(library, name));
}

NvmlApi find_all(void* library) {
  NvmlApi api{};
  find(library, api.init, "nvmlInit_v2");
  find(library, api.error_text, "nvmlErrorString");
  find(library, api.device_by_pci, "nvmlDeviceGetHandleByPciBusId_v2");
  find(library, api.driver_version, "nvmlSystemGetDriverVersion");
  find(library, api.clock, "nvmlDeviceGetClockInfo");
  find(library, api.max_clock, "nvmlDeviceGetMaxClockInfo");
  find(library, api.throttle_reasons, "nvmlDeviceGetCurrentClocksEventReasons");
  if (api.throttle_reasons == nullptr)  // its name before driver 535
    find(library, api.throttle_reasons, "nvmlDeviceGetCurrentClocksThrottleReasons");
  find(library, api.power, "nvmlDeviceGetPowerUsage");
  find(library, api.power_limit, "nvmlDeviceGetEnforcedPowerLimit");
  find(library, api.temperature, "nvmlDeviceGetTemperature");
  find(library, api.energy, "nvmlDeviceGetTotalEnergyConsumption");
  find(library, api.ecc_errors, "nvmlDeviceGetTotalEccErrors");
  return api;
}

}  // namespace

const NvmlApi* load_nvml(std::string& absent) {
  void* const library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    absent = "no NVML: libnvidia-ml.so.1 was not found";
    return nullptr;
  }
  static const NvmlApi api = find_all(library);
  if (api.init == nullptr || api.error_text == nullptr || api.device_by_pci == nullptr) {
    absent = "NVML is too old: its libnvidia-ml.so.1 lacks nvmlInit_v2 or what finds a device";
    return nullptr;
  }
  if (const NvmlResult r = api.init(); r != kNvmlSuccess) {
    absent = fmt::format("nvmlInit: {}", api.error_text(r));
    return nullptr;
  }
  return &api;
}

}  // namespace flashbench::cuda

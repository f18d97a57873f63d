#include "cuda/device/nvml_api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "cuda/device/loader.h"

namespace flashbench::cuda {
namespace {

NvmlApi find_all(Loader& from) {
  NvmlApi api{};
  from.find(api.init, "nvmlInit_v2");
  from.find(api.error_text, "nvmlErrorString");
  from.find(api.device_by_pci, "nvmlDeviceGetHandleByPciBusId_v2");
  from.find_if_there(api.driver_version, "nvmlSystemGetDriverVersion");
  from.find_if_there(api.clock, "nvmlDeviceGetClockInfo");
  from.find_if_there(api.max_clock, "nvmlDeviceGetMaxClockInfo");
  from.find_if_there(api.throttle_reasons, "nvmlDeviceGetCurrentClocksEventReasons");
  if (api.throttle_reasons == nullptr)  // its name before driver 535
    from.find_if_there(api.throttle_reasons, "nvmlDeviceGetCurrentClocksThrottleReasons");
  from.find_if_there(api.power, "nvmlDeviceGetPowerUsage");
  from.find_if_there(api.power_limit, "nvmlDeviceGetEnforcedPowerLimit");
  from.find_if_there(api.temperature, "nvmlDeviceGetTemperature");
  from.find_if_there(api.energy, "nvmlDeviceGetTotalEnergyConsumption");
  from.find_if_there(api.ecc_errors, "nvmlDeviceGetTotalEccErrors");
  return api;
}

Loaded<NvmlApi> load() {
  void* const library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {.absent = "no NVML: libnvidia-ml.so.1 was not found"};
  Loader loader(library);
  const NvmlApi api = find_all(loader);
  if (!loader.missing().empty())
    return {.absent =
                fmt::format("NVML is too old: its libnvidia-ml.so.1 lacks {}", loader.missing())};
  if (const NvmlResult r = api.init(); r != kNvmlSuccess)
    return {.absent = fmt::format("nvmlInit: {}", api.error_text(r))};
  return {.api = api};
}

}  // namespace

const NvmlApi* load_nvml(std::string& absent) {
  static const Loaded<NvmlApi> loaded = load();
  return loaded.get(absent);
}

}  // namespace flashbench::cuda

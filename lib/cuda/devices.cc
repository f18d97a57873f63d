#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "core/error.h"
#include "cuda/absent.h"
#include "cuda/device.h"
#include "cuda/driver_device.h"
#include "cuda/emulated_device.h"

// Which devices there are.
namespace flashbench::cuda {
namespace {

const DriverApi* driver(std::string& absent) {
  static std::string why;
  static const DriverApi* const api = load_driver(why);
  absent = why;
  return api;
}

/// Why nothing can run on a GPU although there is a driver; "" when it can.
std::string unusable(const DriverApi& api, int& count) {
  if (const Result r = api.init(0); r != kSuccess) return error_line(api, "cuInit", r);
  int version = 0;
  if (const Result r = api.driver_version(&version); r != kSuccess)
    return error_line(api, "cuDriverGetVersion", r);
  // Drivers run machine code of their own major version and of older ones.
  const int needed = std::atoi(FLASHBENCH_CUDA_TOOLKIT);
  if (version / 1000 < needed)
    return fmt::format("the driver supports CUDA {}.{}, this build needs {}.0; update the driver",
                       version / 1000, version % 1000 / 10, needed);
  if (const Result r = api.device_count(&count); r != kSuccess)
    return error_line(api, "cuDeviceGetCount", r);
  return count > 0 ? "" : "the CUDA driver shows no GPU";
}

Gpus find_gpus() {
  Gpus gpus;
  if (const auto why = absent()) {
    gpus.absent = *why;
    return gpus;
  }
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && *visible == '\0') {
    gpus.absent = "CUDA_VISIBLE_DEVICES is empty, which hides every GPU";
    return gpus;
  }
  const DriverApi* const api = driver(gpus.absent);
  if (api == nullptr) return gpus;
  int count = 0;
  gpus.absent = unusable(*api, count);
  if (!gpus.absent.empty()) return gpus;
  try {
    for (int i = 0; i < count; ++i) gpus.found.push_back(DriverDevice::describe(*api, i));
  } catch (const DeviceError& e) {
    gpus.absent = e.what();
  }
  return gpus;
}

}  // namespace

std::optional<std::string> absent() {
  const std::string why = FLASHBENCH_CUDA_ABSENT;
  return why.empty() ? std::nullopt : std::optional(why);
}

std::string toolkit() { return FLASHBENCH_CUDA_TOOLKIT; }

const Gpus& gpus() {
  static const Gpus found = find_gpus();
  return found;
}

Device& gpu(int index) {
  static std::map<int, std::unique_ptr<Device>> open;
  if (!gpus().absent.empty()) throw UnavailableError(gpus().absent);
  if (index >= static_cast<int>(gpus().found.size()))
    throw UnavailableError(
        fmt::format("there is no GPU {}; this machine has {}", index, gpus().found.size()));
  std::unique_ptr<Device>& device = open[index];
  std::string unused;
  if (device == nullptr) device = std::make_unique<DriverDevice>(*driver(unused), index);
  return *device;
}

Device& emulated_device() {
  if (const auto why = absent()) throw UnavailableError(*why);
  static EmulatedDevice device{ptx::DeviceOptions{}};
  return device;
}

Device& device(int index) { return index == kEmulatedDevice ? emulated_device() : gpu(index); }

}  // namespace flashbench::cuda

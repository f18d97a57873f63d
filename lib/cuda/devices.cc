#include "cuda/devices.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "cuda/device/absent.h"
#include "cuda/device/driver_device.h"
#include "cuda/device/emulated_device.h"
#include "cuda/device/monitor.h"
#include "cuda/probe/peak_probe.h"
#include "system/error.h"
#include "system/interrupt.h"

namespace flashbench::cuda {
namespace {

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
  const DriverApi* const api = load_driver(gpus.absent);
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

/// What was asked for of one GPU. What holds memory on the device goes before it.
struct OpenGpu {
  std::unique_ptr<Device> device;
  std::unique_ptr<PeakProbe> probe;
  std::unique_ptr<Monitor> monitor;
};

OpenGpu& open_gpu(int index) {
  static std::map<int, OpenGpu> open;
  if (!gpus().absent.empty()) throw UnavailableError(gpus().absent);
  const int count = static_cast<int>(gpus().found.size());
  if (index < 0 || index >= count)
    throw UnavailableError(
        count == 1
            ? fmt::format("there is no GPU {}; this machine has GPU 0", index)
            : fmt::format("there is no GPU {}; this machine has GPUs 0 to {}", index, count - 1));
  return open[index];
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
  OpenGpu& open = open_gpu(index);
  std::string unused;
  if (open.device == nullptr)
    open.device = std::make_unique<DriverDevice>(*load_driver(unused), index);
  return *open.device;
}

PeakProbe& peak_probe(int index) {
  Device& device = gpu(index);
  OpenGpu& open = open_gpu(index);
  if (open.probe == nullptr) open.probe = std::make_unique<PeakProbe>(device);
  return *open.probe;
}

const Monitor& monitor(int index) {
  OpenGpu& open = open_gpu(index);
  if (open.monitor == nullptr) {
    std::string absent;
    const NvmlApi* const nvml = load_nvml(absent);
    const DeviceInfo& about = gpus().found[static_cast<std::size_t>(index)];
    open.monitor = std::make_unique<Monitor>(nvml, absent, about.pci_bus_id);
  }
  return *open.monitor;
}

Device& emulated_device() {
  if (const auto why = absent()) throw UnavailableError(*why);
  static EmulatedDevice device{{.stop_requested = interrupted}};
  return device;
}

Device& device(int index) { return index == kEmulatedDevice ? emulated_device() : gpu(index); }

}  // namespace flashbench::cuda

#include "cuda/backend.h"

#include <fmt/format.h>

#include "cuda/device/absent.h"
#include "cuda/device/monitor.h"
#include "cuda/devices.h"
#include "cuda/kernels.h"
#include "cuda/probe/peak_probe.h"
#include "cuda/route.h"
#include "cuda/route_table.h"

namespace flashbench::cuda {
namespace {

DeviceStatus status_of_gpu(int index, const DeviceInfo& about) {
  DeviceStatus status;
  status.index = index;
  status.name = about.name;
  status.capability = capability_text(about.capability);
  status.multiprocessors = about.multiprocessors;
  status.memory_bytes = about.memory_bytes;
  status.shared_bytes = about.shared_bytes;
  status.cache_bytes = about.l2_bytes;
  status.driver = about.driver;
  status.runtime = toolkit();
  status.pci_bus_id = about.pci_bus_id;
  const Monitor& on = monitor(index);
  status.driver_version = on.driver_version();
  status.energy_missing = on.energy_missing();
  if (status.energy_missing.empty()) status.energy_source = "NVML, the whole board";
  return status;
}

DeviceStatus status_of_emulated() {
  DeviceStatus status;
  status.index = kEmulatedDevice;
  status.absent = cuda::absent();
  status.emulates = "executes the kernels' PTX on this processor, for check, forward and backward";
  status.name = device_text(kEmulatedDevice);
  return status;
}

}  // namespace

const BackendInfo& CudaBackend::info() const {
  static const BackendInfo info{.id = {"cuda"}, .title = "CUDA", .device_noun = "GPU"};
  return info;
}

const std::vector<const Kernel*>& CudaBackend::kernels() { return cuda::kernels(); }

std::optional<std::string> CudaBackend::absent(std::optional<int> device) {
  if (device == kEmulatedDevice) return cuda::absent();
  const std::string& why = gpus().absent;
  return why.empty() ? std::nullopt : std::optional(why);
}

std::vector<DeviceStatus> CudaBackend::devices() {
  std::vector<DeviceStatus> all;
  for (const DeviceInfo& about : gpus().found)
    all.push_back(status_of_gpu(static_cast<int>(all.size()), about));
  all.push_back(status_of_emulated());
  return all;
}

std::vector<std::string> CudaBackend::device_kinds() { return cuda::device_kinds(); }
RouteTable CudaBackend::routes(const std::string& kind) { return route_table(kind); }

Execution CudaBackend::execution(const ExecutionRequest& asked, Dtype) {
  return {.device = asked.device.value_or(0), .deterministic = asked.deterministic};
}

Place CudaBackend::place(const Execution& e) {
  return {.isa = {}, .threads = {}, .device = device_text(e.device)};
}

ExecutionTraits CudaBackend::traits(const Execution& e) {
  if (e.device == kEmulatedDevice) return {.has_speed = false, .seeded_order = true};
  return {.queues = true, .flushes_caches = true, .own_memory = true};
}

std::uint64_t CudaBackend::free_bytes(const Execution& e) { return device(e.device).free_bytes(); }

std::optional<std::uint64_t> CudaBackend::cache_bytes(const Execution& e) {
  if (e.device == kEmulatedDevice) return std::nullopt;
  return device(e.device).info().l2_bytes;
}

void CudaBackend::flush_caches(const Execution& e) { device(e.device).flush_l2(); }

double CudaBackend::queued_s(const Execution& e, const std::function<void()>& work) {
  Device& on = device(e.device);
  on.mark_first();
  work();
  on.mark();
  return on.intervals_s().at(0);
}

void CudaBackend::wait_for_previous(const Execution& e) { device(e.device).wait_for_previous(); }

std::vector<Execution> CudaBackend::with_own_peaks(const ExecutionRequest& asked) {
  std::vector<Execution> all;
  for (int index = 0; index < std::ssize(gpus().found); ++index)
    if (!asked.device || *asked.device == index) all.push_back({.device = index});
  return all;
}

bool CudaBackend::same_peaks(const Execution& a, const Execution& b) {
  return a.device == b.device;
}

double CudaBackend::peak_flop_s(const Execution& e, Dtype dtype) {
  return peak_probe(e.device).flops(dtype);
}

double CudaBackend::peak_bytes_s(const Execution& e) {
  return peak_probe(e.device).read_bandwidth();
}

PeakSubject CudaBackend::peak_subject(const Execution& e, std::optional<Dtype> dtype) {
  const int capability = device(e.device).info().capability;
  return {dtype ? std::string(PeakProbe::instruction(capability, *dtype)) : "ld.global",
          peak_probe(e.device).threads(dtype)};
}

std::optional<DeviceReading> CudaBackend::read(const Execution& e) {
  if (e.device == kEmulatedDevice) return std::nullopt;
  return monitor(e.device).read();
}

std::optional<DeviceReading> CudaBackend::read_clocks(const Execution& e) {
  if (e.device == kEmulatedDevice) return std::nullopt;
  return monitor(e.device).read_clocks();
}

std::optional<double> CudaBackend::energy_j(const Execution& e) {
  if (e.device == kEmulatedDevice) return std::nullopt;
  return monitor(e.device).energy_j();
}

}  // namespace flashbench::cuda

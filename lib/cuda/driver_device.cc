#include "cuda/driver_device.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "core/error.h"
#include "cuda/image.h"

namespace flashbench::cuda {
namespace {

void require(const DriverApi& api, Result result, const std::string& call) {
  if (result == kSuccess) return;
  const std::string line = error_line(api, call, result);
  if (result == kOutOfMemory) throw UnavailableError(line);
  throw DeviceError(line);
}

int attribute(const DriverApi& api, int device, int which) {
  int value = 0;
  require(api, api.device_attribute(&value, which, device), "cuDeviceGetAttribute");
  return value;
}

}  // namespace

DeviceInfo DriverDevice::describe(const DriverApi& api, int index) {
  int device = 0, version = 0;
  require(api, api.device_get(&device, index), "cuDeviceGet");
  std::array<char, 256> name{};
  require(api, api.device_name(name.data(), static_cast<int>(name.size()) - 1, device),
          "cuDeviceGetName");
  require(api, api.driver_version(&version), "cuDriverGetVersion");
  DeviceInfo about;
  about.name = name.data();
  about.capability =
      10 * attribute(api, device, kCapabilityMajor) + attribute(api, device, kCapabilityMinor);
  require(api, api.device_memory(&about.memory_bytes, device), "cuDeviceTotalMem");
  about.shared_bytes = static_cast<std::size_t>(attribute(api, device, kSharedBytesOptin));
  about.l2_bytes = static_cast<std::size_t>(attribute(api, device, kL2CacheSize));
  about.multiprocessors = attribute(api, device, kMultiprocessorCount);
  about.driver = fmt::format("{}.{}", version / 1000, version % 1000 / 10);
  return about;
}

DriverDevice::DriverDevice(const DriverApi& api, int index)
    : api_(api), info_(describe(api, index)) {
  int device = 0;
  void* context = nullptr;
  check(api_.device_get(&device, index), "cuDeviceGet");
  check(api_.context_retain(&context, device), "cuDevicePrimaryCtxRetain");
  check(api_.context_set(context), "cuCtxSetCurrent");
  check(api_.event_create(&last_event_, 0), "cuEventCreate");
  check(api_.event_create(&next_event_, 0), "cuEventCreate");
  check(api_.event_record(last_event_, nullptr), "cuEventRecord");
}

void DriverDevice::check(Result result, const std::string& call) const {
  require(api_, result, call);
}

std::size_t DriverDevice::free_bytes() {
  std::size_t free = 0, total = 0;
  check(api_.memory_info(&free, &total), "cuMemGetInfo");
  return free;
}

Address DriverDevice::allocate(std::size_t bytes, const std::string& what) {
  DevicePointer address = 0;
  check(api_.allocate(&address, bytes), fmt::format("cuMemAlloc of {} bytes for {}", bytes, what));
  return address;
}

void DriverDevice::release(Address address) noexcept {
  api_.release(address);  // after a fatal error of the context this fails too, and changes nothing
}

void DriverDevice::write(Address to, const void* from, std::size_t bytes) {
  check(api_.to_device(to, from, bytes), "cuMemcpyHtoD");
}

void DriverDevice::read(void* to, Address from, std::size_t bytes) {
  check(api_.to_host(to, from, bytes), "cuMemcpyDtoH");
}

void DriverDevice::zero(Address to, std::size_t bytes) {
  check(api_.set_bytes(to, 0, bytes, nullptr), "cuMemsetD8Async");
}

void DriverDevice::poison(Address to, std::size_t bytes) {
  check(api_.set_bytes(to, 0xff, bytes, nullptr), "cuMemsetD8Async");
}

void DriverDevice::launch(const Launch& launch, const Attention& argument) {
  void* const code = function(launch);
  Attention copy = argument;
  void* parameters[] = {&copy};
  check(
      api_.launch(code, static_cast<unsigned>(launch.grid_x), static_cast<unsigned>(launch.grid_y),
                  static_cast<unsigned>(launch.grid_z), static_cast<unsigned>(launch.threads), 1, 1,
                  static_cast<unsigned>(launch.dynamic_bytes), nullptr, parameters, nullptr),
      "cuLaunchKernel of " + launch.entry);
}

void* DriverDevice::function(const Launch& launch) {
  void*& code = functions_[launch.entry];
  if (code == nullptr) code = load(launch.entry);
  if (launch.dynamic_bytes > 0)
    check(api_.function_set(code, kMaxDynamicSharedBytes, static_cast<int>(launch.dynamic_bytes)),
          "cuFuncSetAttribute of " + launch.entry);
  return code;
}

void* DriverDevice::load(const std::string& entry) {
  const Image image = image_with(entry);
  void*& module = modules_[image.name];
  if (module == nullptr)
    check(api_.module_load(&module, image.fatbin.data()),
          fmt::format("cuModuleLoadData of {}", image.name));
  void* code = nullptr;
  check(api_.module_function(&code, module, entry.c_str()), "cuModuleGetFunction of " + entry);
  return code;
}

void DriverDevice::wait() { check(api_.context_wait(), "cuCtxSynchronize"); }

double DriverDevice::now_s() {
  check(api_.event_record(next_event_, nullptr), "cuEventRecord");
  check(api_.event_wait(next_event_), "cuEventSynchronize");
  float elapsed_ms = 0;
  check(api_.event_elapsed(&elapsed_ms, last_event_, next_event_), "cuEventElapsedTime");
  std::swap(last_event_, next_event_);
  clock_s_ += 1e-3 * static_cast<double>(elapsed_ms);  // summed in f64: f32 would lose the end
  return clock_s_;
}

void DriverDevice::flush_l2() {
  if (flushed_.bytes() == 0) flushed_ = DeviceBuffer(*this, 2 * info_.l2_bytes, "the L2 flush");
  zero(flushed_.address(), flushed_.bytes());
}

}  // namespace flashbench::cuda

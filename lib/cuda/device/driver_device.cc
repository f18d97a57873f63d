#include "cuda/device/driver_device.h"

#include <fmt/format.h>

#include <utility>

#include "cuda/image/image.h"
#include "system/error.h"

namespace flashbench::cuda {
namespace {

void require(const DriverApi& api, Result result, const std::string& call) {
  if (result == kSuccess) return;
  const std::string line = error_line(api, call, result);
  if (result == kOutOfMemory) throw OutOfMemoryError(line);
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
  about.emulated = about.name == kEmulatedName;
  about.capability =
      10 * attribute(api, device, kCapabilityMajor) + attribute(api, device, kCapabilityMinor);
  require(api, api.device_memory(&about.memory_bytes, device), "cuDeviceTotalMem");
  about.shared_bytes = static_cast<std::size_t>(attribute(api, device, kSharedBytesOptin));
  about.l2_bytes = static_cast<std::size_t>(attribute(api, device, kL2CacheSize));
  about.multiprocessors = attribute(api, device, kMultiprocessorCount);
  about.driver = fmt::format("{}.{}", version / 1000, version % 1000 / 10);
  std::array<char, 32> bus_id{};
  require(api, api.device_pci_bus_id(bus_id.data(), static_cast<int>(bus_id.size()) - 1, device),
          "cuDeviceGetPCIBusId");
  about.pci_bus_id = bus_id.data();
  return about;
}

DriverDevice::DriverDevice(const DriverApi& api, int index, LoadCublas load_cublas)
    : api_(api), info_(describe(api, index)), load_cublas_(load_cublas) {
  int device = 0;
  require(api_, api_.device_get(&device, index), "cuDeviceGet");
  require(api_, api_.context_retain(&context_, device), "cuDevicePrimaryCtxRetain");
  use();
}

void DriverDevice::use() {
  if (!lost_.empty())
    throw UnavailableError(fmt::format("{} is lost to an earlier error: {}", info_.name, lost_));
  require(api_, api_.context_set(context_), "cuCtxSetCurrent");
}

void DriverDevice::check(Result result, const std::string& call) {
  if (result == kSuccess) return;
  if (result != kOutOfMemory && api_.context_wait() != kSuccess)
    lost_ = error_line(api_, call, result);
  require(api_, result, call);
}

std::size_t DriverDevice::free_bytes() {
  use();
  std::size_t free = 0, total = 0;
  check(api_.memory_info(&free, &total), "cuMemGetInfo");
  return free;
}

Address DriverDevice::allocate(std::size_t bytes, const std::string& what) {
  use();
  DevicePointer address = 0;
  check(api_.allocate(&address, bytes), fmt::format("cuMemAlloc of {} bytes for {}", bytes, what));
  return address;
}

void DriverDevice::release(Address address) noexcept {
  // After a fatal error of the context both fail, which changes nothing.
  if (api_.context_set(context_) == kSuccess) api_.release(address);
}

void DriverDevice::write(Address to, const void* from, std::size_t bytes) {
  use();
  check(api_.to_device(to, from, bytes), "cuMemcpyHtoD");
}

void DriverDevice::read(void* to, Address from, std::size_t bytes) {
  use();
  check(api_.to_host(to, from, bytes), "cuMemcpyDtoH");
}

void DriverDevice::zero(Address to, std::size_t bytes) {
  use();
  check(api_.set_bytes(to, 0, bytes, nullptr), "cuMemsetD8Async");
}

void DriverDevice::poison(Address to, std::size_t bytes) {
  use();
  check(api_.set_bytes(to, 0xff, bytes, nullptr), "cuMemsetD8Async");
}

void DriverDevice::enqueue(const Launch& launch, std::span<const std::byte> argument) {
  use();
  void* const code = function(launch);
  void* parameters[] = {
      const_cast<std::byte*>(argument.data())};  // the driver copies, and only reads
  check(
      api_.launch(code, static_cast<unsigned>(launch.grid_x), static_cast<unsigned>(launch.grid_y),
                  static_cast<unsigned>(launch.grid_z), static_cast<unsigned>(launch.threads), 1, 1,
                  static_cast<unsigned>(launch.dynamic_bytes), nullptr, parameters, nullptr),
      "cuLaunchKernel of " + launch.entry);
}

TensorMap DriverDevice::tensor_map(const BoxedTensor& t) {
  use();
  TensorMap map;
  const std::uint64_t size[] = {t.size[0], t.size[1], t.size[2], t.size[3]};
  const std::uint32_t box[] = {kBoxColumns, t.box_rows, 1, 1}, steps[] = {1, 1, 1, 1};
  void* const address = reinterpret_cast<void*>(t.address);  // the driver only notes it
  check(api_.tensor_map_encode(&map, kMap16Bits, 4, address, size, t.stride, box, steps,
                               kMapNoInterleave, kMapSwizzle128, kMapPromote256, kMapZeros),
        "cuTensorMapEncodeTiled");
  return map;
}

std::optional<std::string> DriverDevice::products_absent() {
  std::string why;
  if (load_cublas_(why) == nullptr) return why;
  return std::nullopt;
}

void DriverDevice::multiply(const Gemm& g) {
  use();
  if (cublas_ == nullptr) {
    std::string why;
    const CublasApi* const api = load_cublas_(why);
    if (api == nullptr) throw UnavailableError(why);
    cublas_ = std::make_unique<Cublas>(*api);
  }
  cublas_->multiply(g);
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

void DriverDevice::wait() {
  use();
  check(api_.context_wait(), "cuCtxSynchronize");
}

void* DriverDevice::new_event() {
  void* event = nullptr;
  check(api_.event_create(&event, 0), "cuEventCreate");
  return event;
}

void DriverDevice::wait_for_previous() {
  use();
  for (void*& event : pacing_events_)
    if (event == nullptr) event = new_event();
  check(api_.event_record(pacing_events_[0], nullptr), "cuEventRecord");
  std::swap(pacing_events_[0], pacing_events_[1]);
  check(api_.event_wait(pacing_events_[0]),
        "cuEventSynchronize");  // at once, if it was never recorded
}

void DriverDevice::mark_first() {
  marks_ = 0;
  mark();
}

void DriverDevice::mark() {
  use();
  if (marks_ == events_.size()) events_.push_back(new_event());
  check(api_.event_record(events_[marks_], nullptr), "cuEventRecord");
  ++marks_;
}

std::vector<double> DriverDevice::intervals_s() {
  use();
  if (marks_ > 0) check(api_.event_wait(events_[marks_ - 1]), "cuEventSynchronize");
  std::vector<double> all_s;
  for (std::size_t i = 1; i < marks_; ++i) {
    float elapsed_ms = 0;
    check(api_.event_elapsed(&elapsed_ms, events_[i - 1], events_[i]), "cuEventElapsedTime");
    all_s.push_back(1e-3 * static_cast<double>(elapsed_ms));
  }
  return all_s;
}

void DriverDevice::flush_l2() {
  if (flushed_.bytes() == 0) flushed_ = DeviceBuffer(*this, flush_bytes(info_), "the L2 flush");
  zero(flushed_.address(), flushed_.bytes());
}

}  // namespace flashbench::cuda

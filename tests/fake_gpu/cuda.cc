// A libcuda.so.1 for tests: GPUs whose kernels the emulator of lib/ptx executes, and which fail on
// demand. The real program loads it through LD_LIBRARY_PATH. FAKE_CUDA="name=value;..." sets
//
//   gpus          how many there are (1)
//   init, version what cuInit returns (0) and cuDriverGetVersion tells (13000)
//   total_mb      memory of each (512); free_mb what cuMemGetInfo claims, whatever is free
//   fault         CODE@TEXT: a launch of a kernel whose name has TEXT ends its context with that
//                 error, as an illegal address does: seen at the next wait, and for ever
//   refuse        CODE@TEXT: cuLaunchKernel itself refuses such a kernel, and the context survives
//   idle          1: launches do nothing
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "cuda/device/driver_api.h"
#include "cuda/image/image.h"
#include "ptx/device.h"
#include "ptx/machine/tensor_map.h"
#include "tests/fake_gpu/settings.h"

namespace {

using flashbench::cuda::DevicePointer;
using flashbench::cuda::Image;
using flashbench::cuda::kSuccess;
using flashbench::cuda::Result;
namespace ptx = flashbench::ptx;

constexpr Result kInvalidValue = 1, kOutOfMemory = 2, kInvalidContext = 201, kInvalidImage = 200,
                 kInvalidHandle = 400, kNotFound = 500, kLaunchFailed = 719;

std::string setting(const char* name, const char* otherwise = "") {
  return fake::setting("FAKE_CUDA", name, otherwise);
}
long number(const char* name, long otherwise) { return fake::number("FAKE_CUDA", name, otherwise); }
std::size_t megabytes(const char* name, long otherwise) {
  return static_cast<std::size_t>(number(name, otherwise)) << 20;
}

/// The error that "CODE@TEXT" asks for in a kernel of that name.
std::optional<Result> asked_for(const char* name, const std::string& kernel) {
  const std::string wanted = setting(name);
  const std::size_t at = wanted.find('@');
  if (at == std::string::npos || kernel.find(wanted.substr(at + 1)) == std::string::npos)
    return std::nullopt;
  return static_cast<Result>(std::stol(wanted));
}

struct Gpu {
  ptx::Device device{ptx::DeviceOptions{}};
  std::set<DevicePointer> allocations;
  Result fault = kSuccess;  ///< that ended its context
};
struct Module {
  Gpu* gpu;
  ptx::Module code;
};
struct Function {
  Module* module;
  std::string name;
};
struct Event {
  Gpu* gpu;
  double recorded_s = -1;
};

/// One per GPU; they live as long as the process, like the driver's.
std::vector<std::unique_ptr<Gpu>>& gpus() {
  static auto* const all =
      new std::vector<std::unique_ptr<Gpu>>(static_cast<std::size_t>(number("gpus", 1)));
  for (auto& gpu : *all)
    if (gpu == nullptr) gpu = std::make_unique<Gpu>();
  return *all;
}

Gpu* current = nullptr;

Result state() { return current == nullptr ? kInvalidContext : current->fault; }

/// What a call on the current context returns: its fault, or what `work` says.
template <typename Work>
Result guarded(Work work) {
  if (const Result r = state(); r != kSuccess) return r;
  try {
    return work();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fake CUDA driver: %s\n", e.what());
    return current->fault = kLaunchFailed;
  }
}

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What begins with text is no image of the program but somebody's PTX.
bool is_text(const void* bytes) {
  const char first = *static_cast<const char*>(bytes);
  return first == '/' || first == '.' || first == '\n';
}

/// The image that these bytes are, by the length in their header.
const Image* image_of(const void* bytes) {
  static const std::vector<Image> all = flashbench::cuda::images();
  std::uint16_t header = 0;
  std::uint64_t body = 0;
  std::memcpy(&header, static_cast<const char*>(bytes) + 6, sizeof header);
  std::memcpy(&body, static_cast<const char*>(bytes) + 8, sizeof body);
  for (const Image& image : all)
    if (header + body <= image.fatbin.size() &&
        std::memcmp(bytes, image.fatbin.data(), header + body) == 0)
      return &image;
  return nullptr;
}

Result execute(const Function& function, ptx::Dim3 grid, ptx::Dim3 block, std::size_t shared,
               void** parameters) {
  ptx::Device& device = current->device;
  const ptx::KernelInfo about = device.kernel(function.module->code, function.name);
  std::vector<std::span<const std::byte>> arguments;
  for (std::size_t i = 0; i < about.parameters.size(); ++i)
    arguments.emplace_back(static_cast<const std::byte*>(parameters[i]), about.parameters[i].bytes);
  const ptx::LaunchResult result =
      device.launch(function.module->code, function.name, grid, block, shared, arguments);
  for (const ptx::Finding& finding : result.findings)
    std::fprintf(stderr, "fake CUDA driver: %s\n", finding.text().c_str());
  if (!result.findings.empty()) current->fault = kLaunchFailed;
  return kSuccess;
}

}  // namespace

extern "C" {

Result cuInit(unsigned) { return static_cast<Result>(number("init", 0)); }

Result cuDriverGetVersion(int* version) {
  *version = static_cast<int>(number("version", 13000));
  return kSuccess;
}

Result cuDeviceGetCount(int* count) {
  *count = static_cast<int>(gpus().size());
  return kSuccess;
}

Result cuDeviceGet(int* device, int index) {
  *device = index;
  return index < static_cast<int>(gpus().size()) ? kSuccess : kInvalidValue;
}

Result cuDeviceGetName(char* name, int bytes, int) {
  std::strncpy(name, "Fake GPU", static_cast<std::size_t>(bytes));
  return kSuccess;
}

Result cuDeviceGetPCIBusId(char* id, int bytes, int device) {
  std::snprintf(id, static_cast<std::size_t>(bytes), "0000:%02X:00.0", 0x3a + device);
  return kSuccess;
}

Result cuDeviceGetAttribute(int* value, int attribute, int) {
  using namespace flashbench::cuda;
  const std::map<int, int> values = {{kMultiprocessorCount, 1},
                                     {kL2CacheSize, 1 << 20},
                                     {kCapabilityMajor, 9},
                                     {kCapabilityMinor, 0},
                                     {kSharedBytesOptin, 227 << 10}};
  const auto found = values.find(attribute);
  if (found == values.end()) return kInvalidValue;
  *value = found->second;
  return kSuccess;
}

Result cuDeviceTotalMem_v2(std::size_t* bytes, int) {
  *bytes = megabytes("total_mb", 512);
  return kSuccess;
}

Result cuDevicePrimaryCtxRetain(void** context, int device) {
  *context = gpus().at(static_cast<std::size_t>(device)).get();
  return kSuccess;
}

Result cuCtxSetCurrent(void* context) {
  current = static_cast<Gpu*>(context);
  return kSuccess;
}

Result cuCtxSynchronize() { return state(); }

Result cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  return guarded([&] {
    *total = megabytes("total_mb", 512);
    const std::size_t left = *total - std::min(*total, current->device.allocated_bytes());
    *free = setting("free_mb").empty() ? left : megabytes("free_mb", 0);
    return kSuccess;
  });
}

Result cuMemAlloc_v2(DevicePointer* address, std::size_t bytes) {
  return guarded([&] {
    if (current->device.allocated_bytes() + bytes > megabytes("total_mb", 512)) return kOutOfMemory;
    current->allocations.insert(*address = current->device.alloc(bytes, "fake GPU memory"));
    return kSuccess;
  });
}

Result cuMemFree_v2(DevicePointer address) {
  return guarded([&] {
    if (current->allocations.erase(address) == 0) return kInvalidValue;
    current->device.free(address);
    return kSuccess;
  });
}

Result cuMemcpyHtoD_v2(DevicePointer to, const void* from, std::size_t bytes) {
  return guarded([&] {
    current->device.copy_in(to, {static_cast<const std::byte*>(from), bytes});
    return kSuccess;
  });
}

Result cuMemcpyDtoH_v2(void* to, DevicePointer from, std::size_t bytes) {
  return guarded([&] {
    current->device.copy_out({static_cast<std::byte*>(to), bytes}, from);
    return kSuccess;
  });
}

Result cuMemsetD8Async(DevicePointer to, unsigned char value, std::size_t bytes, void*) {
  return guarded([&] {
    current->device.fill(to, std::byte{value}, bytes);
    return kSuccess;
  });
}

Result cuModuleLoadData(void** module, const void* bytes) {
  return guarded([&] {
    if (is_text(bytes)) {
      *module = new Module{current, current->device.load(static_cast<const char*>(bytes), "ptx")};
      return kSuccess;
    }
    const Image* const image = image_of(bytes);
    if (image == nullptr) return kInvalidImage;
    *module = new Module{current, current->device.load(image->ptx, std::string(image->name))};
    return kSuccess;
  });
}

Result cuModuleGetFunction(void** function, void* module, const char* name) {
  return guarded([&] {
    Module* const from = static_cast<Module*>(module);
    const std::vector<std::string> names = from->gpu->device.kernels(from->code);
    if (std::find(names.begin(), names.end(), name) == names.end()) return kNotFound;
    *function = new Function{from, name};
    return kSuccess;
  });
}

Result cuFuncSetAttribute(void*, int, int) { return state(); }

Result cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                      void*, void** parameters, void**) {
  return guarded([&] {
    const Function& what = *static_cast<Function*>(function);
    if (what.module->gpu != current) return kInvalidHandle;
    if (const auto refusal = asked_for("refuse", what.name)) return *refusal;
    if (const auto fault = asked_for("fault", what.name)) {
      current->fault = *fault;
      return kSuccess;  // the launch was queued; what it did is seen later
    }
    if (number("idle", 0) != 0) return kSuccess;
    return execute(what, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes,
                   parameters);
  });
}

Result cuTensorMapEncodeTiled(void* map, int type, unsigned rank, void* address,
                              const std::uint64_t* size, const std::uint64_t* stride,
                              const std::uint32_t* box, const std::uint32_t*, int, int swizzle, int,
                              int) {
  using namespace flashbench::cuda;
  if (type != kMap16Bits || rank != 4 || swizzle != kMapSwizzle128) return kInvalidValue;
  std::uint32_t sizes[4];
  std::uint16_t boxes[4];
  for (int i = 0; i < 4; ++i) {
    sizes[i] = static_cast<std::uint32_t>(size[i]);
    boxes[i] = static_cast<std::uint16_t>(box[i]);
  }
  try {
    const ptx::TensorMap made =
        ptx::encode_tensor_map(reinterpret_cast<ptx::Address>(address), 2, sizes,
                               std::span(stride, 3), boxes, ptx::Swizzle::k128);
    std::memcpy(map, &made, sizeof made);
  } catch (const std::exception&) {
    return kInvalidValue;
  }
  return kSuccess;
}

Result cuEventCreate(void** event, unsigned) {
  return guarded([&] {
    *event = new Event{current};
    return kSuccess;
  });
}

Result cuEventRecord(void* event, void*) {
  return guarded([&] {
    Event& what = *static_cast<Event*>(event);
    if (what.gpu != current) return kInvalidHandle;
    what.recorded_s = now_s();
    return kSuccess;
  });
}

Result cuEventSynchronize(void*) { return state(); }

Result cuEventElapsedTime(float* milliseconds, void* start, void* end) {
  return guarded([&] {
    const double from_s = static_cast<Event*>(start)->recorded_s;
    const double to_s = static_cast<Event*>(end)->recorded_s;
    *milliseconds = static_cast<float>(1e3 * (to_s - from_s));
    return from_s < 0 || to_s < 0 ? kInvalidHandle : kSuccess;
  });
}

Result cuGetErrorName(Result error, const char** name) {
  const std::map<Result, const char*> names = {
      {1, "CUDA_ERROR_INVALID_VALUE"},       {2, "CUDA_ERROR_OUT_OF_MEMORY"},
      {100, "CUDA_ERROR_NO_DEVICE"},         {200, "CUDA_ERROR_INVALID_IMAGE"},
      {214, "CUDA_ERROR_ECC_UNCORRECTABLE"}, {400, "CUDA_ERROR_INVALID_HANDLE"},
      {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},   {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
      {719, "CUDA_ERROR_LAUNCH_FAILED"}};
  const auto found = names.find(error);
  *name = found == names.end() ? nullptr : found->second;
  return found == names.end() ? kInvalidValue : kSuccess;
}

Result cuGetErrorString(Result, const char** text) {
  *text = "as the test asked";
  return kSuccess;
}

}  // extern "C"

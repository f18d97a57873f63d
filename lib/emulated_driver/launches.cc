#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <map>
#include <span>

#include "emulated_driver/fat_binary.h"
#include "emulated_driver/state.h"
#include "ptx/machine/tensor_map.h"

// The driver's functions of modules, launches, streams and events.
using namespace flashbench::emulated_driver;
namespace ptx = flashbench::ptx;

namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A finding is the end of the context, as an illegal address is: it is told with the error.
Result execute(const Function& function, ptx::Dim3 grid, ptx::Dim3 block, std::size_t shared,
               void** parameters) {
  ptx::Device& device = current()->device;
  const ptx::KernelInfo about = device.kernel(function.module->code, function.name);
  if (parameters == nullptr && !about.parameters.empty())
    return failed(kInvalidValue,
                  fmt::format("{} has parameters, and was given none", function.name));
  std::vector<std::span<const std::byte>> arguments;
  for (std::size_t i = 0; i < about.parameters.size(); ++i)
    arguments.emplace_back(static_cast<const std::byte*>(parameters[i]), about.parameters[i].bytes);
  ptx::LaunchResult result;
  try {
    result = device.launch(function.module->code, function.name, grid, block, shared, arguments);
  } catch (const std::exception& e) {  // what it does not execute
    return failed(kInvalidValue, e.what());
  }
  if (!result.findings.empty())
    current()->fault = failed(kLaunchFailed, result.findings.front().text());
  return kSuccess;
}

/// Streams are places in memory that nobody looks at.
char a_stream;

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

Result cuModuleLoadData(void** module, const void* image) {
  return guarded([&] {
    if (image == nullptr) return failed(kInvalidValue, "a module without an image");
    try {
      const auto code = ptx_of(image);
      if (!code)
        return failed(kInvalidImage, "it is no PTX, which is what the emulated device executes");
      *module = new Module{current(), current()->device.load(code->first, code->second)};
    } catch (const FatBinaryError& e) {
      return failed(kInvalidImage, e.what());
    } catch (const std::exception& e) {
      return failed(kInvalidPtx, e.what());
    }
    return kSuccess;
  });
}

Result cuModuleLoadDataEx(void** module, const void* image, unsigned, int*, void**) {
  return cuModuleLoadData(module, image);
}

Result cuModuleUnload(void*) { return state(); }

Result cuModuleGetFunction(void** function, void* module, const char* name) {
  return guarded([&] {
    Module* const from = static_cast<Module*>(module);
    const std::vector<std::string> names = from->gpu->device.kernels(from->code);
    if (std::find(names.begin(), names.end(), name) == names.end())
      return failed(kNotFound, fmt::format("the PTX has no entry '{}'; it has {}", name,
                                           fmt::join(names, ", ")));
    *function = new Function{from, name};
    return kSuccess;
  });
}

Result cuFuncSetAttribute(void* function, int attribute, int value) {
  return guarded([&] {
    if (attribute == flashbench::cuda::kMaxDynamicSharedBytes)
      static_cast<Function*>(function)->dynamic_limit = static_cast<std::size_t>(value);
    return kSuccess;
  });
}
Result cuFuncSetCacheConfig(void*, int) { return state(); }

Result cuFuncGetAttribute(int* value, int attribute, void* function) {
  return guarded([&] {
    constexpr int kMaxThreads = 0, kSharedBytes = 1, kLocalBytes = 3, kRegisters = 4;
    constexpr int kMaxDynamicSharedBytes = flashbench::cuda::kMaxDynamicSharedBytes;
    const Function& of = *static_cast<Function*>(function);
    const ptx::KernelInfo about = current()->device.kernel(of.module->code, of.name);
    const std::map<int, int> values = {
        {kMaxThreads, 1024},
        {kSharedBytes, static_cast<int>(about.static_shared_bytes)},
        {kLocalBytes, static_cast<int>(about.local_bytes)},
        {kRegisters, 64},
        {kMaxDynamicSharedBytes, static_cast<int>(of.dynamic_limit)}};
    const auto found = values.find(attribute);
    *value = found == values.end() ? 0 : found->second;
    return kSuccess;
  });
}

Result cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                      void* stream, void** parameters, void** extra) {
  return guarded([&] {
    const Function& what = *static_cast<Function*>(function);
    if (what.module->gpu != current()) return kInvalidHandle;
    const Fate fate = fate_of(what.name);
    if (fate.refused != kSuccess) return fate.refused;
    current()->fault = fate.fault;  // the launch was queued; what it did is seen later
    if (fate.fault != kSuccess || fate.idle) return kSuccess;
    if (extra != nullptr)
      return failed(kInvalidValue, "parameters come as an array of pointers (kernelParams) here");
    if (shared_bytes > what.dynamic_limit)
      return failed(kInvalidValue,
                    fmt::format("{} bytes of dynamic shared memory; beyond {} a function asks for "
                                "them (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)",
                                shared_bytes, what.dynamic_limit));
    if (stream != nullptr) begin_stream_work();
    return execute(what, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes,
                   parameters);
  });
}

Result cuTensorMapEncodeTiled(void* map, int type, unsigned rank, void* address,
                              const std::uint64_t* size, const std::uint64_t* stride,
                              const std::uint32_t* box, const std::uint32_t* steps, int interleave,
                              int swizzle, int, int fill) {
  // By CUtensorMapDataType: u8, u16, u32, i32, u64, i64, f16, f32, f64, bf16, then f32 and tf32.
  constexpr std::array kElementBytes = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  const auto at = static_cast<std::size_t>(type);
  constexpr int kFloat32 = 7;
  if (type < 0 || at >= kElementBytes.size() || rank < 1 || rank > 5)
    return failed(kInvalidValue, fmt::format("a tensor map of type {}, rank {}", type, rank));
  if (map == nullptr || size == nullptr || (stride == nullptr && rank > 1) || box == nullptr ||
      steps == nullptr)
    return failed(kInvalidValue, "a tensor map without its place, sizes, strides, box or steps");
  if (interleave != 0 || fill != 0 || swizzle < 0 || swizzle > 3 ||
      std::any_of(steps, steps + rank, [](std::uint32_t step) { return step != 1; }))
    return failed(
        kInvalidValue,
        "the emulated device's tensor maps have no interleaving, no steps, no NaN outside "
        "and swizzles of 32, 64 or 128 bytes");
  std::array<std::uint32_t, 5> sizes{};
  std::array<std::uint16_t, 5> boxes{};
  for (unsigned i = 0; i < rank; ++i) {
    if (size[i] > 0xFFFF'FFFFu)
      return failed(kInvalidValue, fmt::format("a tensor map of {} elements in a row", size[i]));
    sizes[i] = static_cast<std::uint32_t>(size[i]);
    boxes[i] = static_cast<std::uint16_t>(std::min(box[i], 0xFFFFu));
  }
  try {
    ptx::TensorMap made =
        ptx::encode_tensor_map(reinterpret_cast<ptx::Address>(address), kElementBytes[at],
                               std::span(sizes).first(rank), std::span(stride, rank - 1),
                               std::span(boxes).first(rank), static_cast<ptx::Swizzle>(swizzle));
    made.is_f32 = type == kFloat32;
    std::memcpy(map, &made, sizeof made);
  } catch (const std::exception& e) {
    return failed(kInvalidValue, e.what());
  }
  return kSuccess;
}

/// The CUDA runtime's door to what no documentation describes; it asks once and keeps the error.
Result cuGetExportTable(const void** table, const void*) {
  *table = nullptr;
  return lacking_for_good(
      kNotSupported,
      "its CUDA runtime asks for what only CUDA's own driver has; link that of CUDA 12 "
      "or 13 as a library (nvcc -cudart shared)");
}

Result cuStreamCreate(void** stream, unsigned) {
  *stream = &a_stream;
  return state();
}
Result cuStreamDestroy_v2(void*) { return state(); }
Result cuStreamSynchronize(void*) { return state(); }
Result cuStreamQuery(void*) { return state(); }
Result cuStreamWaitEvent(void*, void*, unsigned) { return state(); }

Result cuEventCreate(void** event, unsigned) {
  return guarded([&] {
    *event = new Event{current()};
    return kSuccess;
  });
}

Result cuEventDestroy_v2(void* event) {
  return guarded([&] {
    delete static_cast<Event*>(event);
    return kSuccess;
  });
}

Result cuEventRecord(void* event, void*) {
  return guarded([&] {
    Event& what = *static_cast<Event*>(event);
    if (what.gpu != current()) return kInvalidHandle;
    what.recorded_s = now_s();
    return kSuccess;
  });
}

Result cuEventSynchronize(void*) { return state(); }
Result cuEventQuery(void*) { return state(); }

Result cuEventElapsedTime(float* milliseconds, void* start, void* end) {
  return guarded([&] {
    const double from_s = static_cast<Event*>(start)->recorded_s;
    const double to_s = static_cast<Event*>(end)->recorded_s;
    *milliseconds = static_cast<float>(1e3 * (to_s - from_s));
    return from_s < 0 || to_s < 0 ? kInvalidHandle : kSuccess;
  });
}

Result cuGetErrorName(Result error, const char** name) {
  const std::map<Result, const char*> names = {{kInvalidValue, "CUDA_ERROR_INVALID_VALUE"},
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
                                               {kLaunchFailed, "CUDA_ERROR_LAUNCH_FAILED"},
                                               {kNotSupported, "CUDA_ERROR_NOT_SUPPORTED"}};
  const auto found = names.find(error);
  *name = found == names.end() ? nullptr : found->second;
  return found == names.end() ? kInvalidValue : kSuccess;
}

Result cuGetErrorString(Result error, const char** text) {
  static thread_local std::string told;
  told = told_of_errors();
  if (told.empty()) told = failure_of(error);
  if (told.empty()) told = "no more is known";
  *text = told.c_str();
  return kSuccess;
}

/// By the names that <cuda.h> gives them, of which some are those of a second version.
Result cuGetProcAddress_v2(const char* name, void** function, int, std::uint64_t, int* found) {
  Dl_info own{};
  ::dladdr(&a_stream, &own);
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

}  // extern "C"
#pragma GCC visibility pop

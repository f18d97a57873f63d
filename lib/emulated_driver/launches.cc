#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <span>

#include "emulated_driver/fat_binary.h"
#include "emulated_driver/state.h"
#include "ptx/machine/tensor_map.h"
#include "system/error.h"

// The driver's functions of modules and launches.
using namespace flashbench::emulated_driver;
using flashbench::DeviceError;
namespace ptx = flashbench::ptx;

namespace {

/// What of a launch's `extra` (CU_LAUNCH_PARAM_...) there is: a buffer of all parameters. Throws
/// DeviceError.
std::span<const std::byte> buffer_of(void** extra) {
  constexpr std::uintptr_t kBuffer = 1, kBytes = 2;
  const std::byte* first = nullptr;
  const std::size_t* bytes = nullptr;
  for (; *extra != nullptr; extra += 2) {
    const auto what = reinterpret_cast<std::uintptr_t>(extra[0]);
    if (what == kBuffer)
      first = static_cast<const std::byte*>(extra[1]);
    else if (what == kBytes)
      bytes = static_cast<const std::size_t*>(extra[1]);
    else
      throw DeviceError(fmt::format("{:#x} is no CU_LAUNCH_PARAM_...", what));
  }
  if (first == nullptr || bytes == nullptr)
    throw DeviceError("parameters in a buffer (CU_LAUNCH_PARAM_BUFFER_...) without it or its size");
  return {first, *bytes};
}

/// The parameters of a launch, each as its bytes. Throws DeviceError.
std::vector<std::span<const std::byte>> arguments_of(const ptx::KernelInfo& kernel,
                                                     void** parameters, void** extra) {
  if (parameters != nullptr && extra != nullptr)
    throw DeviceError("parameters both as an array of pointers and in a buffer");
  std::vector<std::span<const std::byte>> arguments;
  if (kernel.parameters.empty()) return arguments;
  if (parameters == nullptr && extra == nullptr)
    throw DeviceError(fmt::format("{} has parameters, and was given none", kernel.name));
  const auto buffer = parameters == nullptr ? buffer_of(extra) : std::span<const std::byte>();
  for (const ptx::ParameterInfo& p : kernel.parameters) {
    if (parameters == nullptr && (p.offset > buffer.size() || p.bytes > buffer.size() - p.offset))
      throw DeviceError(
          fmt::format("the parameters of {} in a buffer of {} bytes, beyond which {} "
                      "goes",
                      kernel.name, buffer.size(), p.name));
    const void* const from = parameters == nullptr ? buffer.data() + p.offset : *parameters++;
    if (from == nullptr)
      throw DeviceError(fmt::format("a null pointer for {} of {}", p.name, kernel.name));
    arguments.emplace_back(static_cast<const std::byte*>(from), p.bytes);
  }
  return arguments;
}

/// A finding is the end of the context, as an illegal address is: it is told with the error.
Result execute(const Function& function, ptx::Dim3 grid, ptx::Dim3 block, std::size_t shared,
               void** parameters, void** extra) {
  ptx::Device& device = current()->device;
  const ptx::KernelInfo about = device.kernel(function.module->code, function.name);
  const ptx::LaunchResult result = device.launch(function.module->code, function.name, grid, block,
                                                 shared, arguments_of(about, parameters, extra));
  if (!result.findings.empty())
    current()->fault = failed(kLaunchFailed, result.findings.front().text());
  return kSuccess;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

Result cuModuleLoadData(void** module, const void* image) {
  return guarded([&] {
    if (module == nullptr) return nowhere();
    if (image == nullptr) return failed(kInvalidValue, "a module without an image");
    try {
      const auto code = ptx_of(image);
      if (!code)
        return failed(kInvalidImage, "it is no PTX, which is what the emulated device executes");
      *module = modules().give({current(), current()->device.load(code->first, code->second)});
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

Result cuModuleUnload(void* module) {
  return guarded([&] {
    modules().end(module);
    functions().for_each([&](Function& f, bool alive) {
      if (alive && f.module == module) functions().end(&f);
    });
    static_cast<Module*>(module)->code.reset();
    return kSuccess;
  });
}

Result cuModuleGetFunction(void** function, void* module, const char* name) {
  return guarded([&] {
    Module& from = modules().at(module);
    if (function == nullptr) return nowhere();
    if (name == nullptr) return failed(kInvalidValue, "a null pointer for the name of a function");
    const std::vector<std::string> names = from.gpu->device.kernels(from.code);
    if (std::find(names.begin(), names.end(), name) == names.end())
      return failed(kNotFound, fmt::format("the PTX has no entry '{}'; it has {}", name,
                                           fmt::join(names, ", ")));
    *function = functions().give({&from, name});
    return kSuccess;
  });
}

Result cuFuncSetAttribute(void* function, int attribute, int value) {
  return guarded([&] {
    Function& of = functions().at(function);
    if (attribute != flashbench::cuda::kMaxDynamicSharedBytes) return kSuccess;
    ptx::Device& device = of.module->gpu->device;
    const std::size_t all = device.options().shared_bytes_per_block,
                      own = device.kernel(of.module->code, of.name).static_shared_bytes;
    if (value < 0 || own > all || static_cast<std::size_t>(value) > all - own)
      return failed(
          kInvalidValue,
          fmt::format("{} bytes of dynamic shared memory for {}, which has {} of its own; "
                      "the device has {} per block",
                      value, of.name, own, all));
    of.dynamic_limit = static_cast<std::size_t>(value);
    return kSuccess;
  });
}

Result cuFuncSetCacheConfig(void* function, int) {
  return guarded([&] {
    functions().at(function);
    return kSuccess;
  });
}

Result cuFuncGetAttribute(int* value, int attribute, void* function) {
  return guarded([&] {
    constexpr int kMaxThreads = 0, kSharedBytes = 1, kLocalBytes = 3, kRegisters = 4;
    constexpr int kMaxDynamicSharedBytes = flashbench::cuda::kMaxDynamicSharedBytes;
    if (value == nullptr) return nowhere();
    const Function& of = functions().at(function);
    const ptx::KernelInfo about = of.module->gpu->device.kernel(of.module->code, of.name);
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
    const Function& what = functions().at(function);
    if (what.module->gpu != current()) throw InvalidHandle("a function of another context");
    stream_of(stream);
    const Fate fate = fate_of(what.name);
    if (fate.refused != kSuccess) return fate.refused;
    current()->fault = fate.fault;  // the launch was queued; what it did is seen later
    if (fate.fault != kSuccess || fate.idle) return kSuccess;
    if (shared_bytes > what.dynamic_limit)
      return failed(kInvalidValue,
                    fmt::format("{} bytes of dynamic shared memory; beyond {} a function asks for "
                                "them (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)",
                                shared_bytes, what.dynamic_limit));
    queue_on(stream);
    return execute(what, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes,
                   parameters, extra);
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

}  // extern "C"
#pragma GCC visibility pop

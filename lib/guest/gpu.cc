#include "guest/gpu.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "cuda/device/driver_device.h"
#include "cuda/devices.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::guest {
namespace {

void* emulated_driver = nullptr;

/// A function that its driver has beyond CUDA's; null where that is not this process's driver.
template <typename Function>
Function of_the_emulated(const char* name) {
  if (emulated_driver == nullptr) return nullptr;
  return reinterpret_cast<Function>(::dlsym(emulated_driver, name));
}

}  // namespace

void use_emulated_driver(const std::string& library) {
  // Whoever opens libcuda.so.1 afterwards, or is linked with it, gets what goes by that name.
  emulated_driver = ::dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (emulated_driver == nullptr)
    throw UsageError(fmt::format("{}: {}", quote(library), ::dlerror()));
  // The runtimes beside it, for guests that are linked with one of them.
  for (const char* runtime : {"libcudart.so.12", "libcudart.so.13"}) {
    const std::string path = std::filesystem::path(library).replace_filename(runtime).string();
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) continue;  // most guests need none
    if (::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr)
      throw UsageError(fmt::format("{}: {}", quote(path), ::dlerror()));
  }
}

bool on_emulated_driver() { return emulated_driver != nullptr; }

cuda::Device& gpu(int index) {
  if (emulated_driver == nullptr) return cuda::gpu(index);
  static cuda::DriverDevice device = [] {
    std::string absent;
    const cuda::DriverApi* api = cuda::load_driver(absent);
    if (api == nullptr) throw UnavailableError(absent);
    return cuda::DriverDevice(*api, 0);
  }();
  return device;
}

std::shared_ptr<void> name_memory(cuda::Address address, const std::string& name,
                                  const Placed* tensor) {
  using Name = void (*)(std::uint64_t, const char*, std::size_t, std::size_t, const std::int64_t*,
                        const std::int64_t*);
  const auto tell = of_the_emulated<Name>("flashbench_emulated_name");
  const auto keep =
      of_the_emulated<void (*)(std::uint64_t, const char*)>("flashbench_emulated_keep");
  if (tell == nullptr || keep == nullptr) return nullptr;
  if (tensor == nullptr) {
    tell(address, name.c_str(), 0, 0, nullptr, nullptr);
  } else {
    std::size_t elements = 1;
    for (const std::int64_t n : tensor->shape) elements *= static_cast<std::size_t>(n);
    tell(address, name.c_str(), tensor->bytes / std::max<std::size_t>(elements, 1),
         tensor->shape.size(), tensor->shape.data(), tensor->strides.data());
  }
  keep(address, name.c_str());
  return {nullptr, [=](void*) { keep(address, nullptr); }};
}

bool left_work_unjoined() {
  const auto ask = of_the_emulated<int (*)()>("flashbench_emulated_unjoined");
  return ask != nullptr && ask() != 0;
}

DriverFailure emulated_driver_failure() {
  const auto ask = of_the_emulated<const char* (*)(int*)>("flashbench_emulated_failure");
  if (ask == nullptr) return {};
  int lacks = 0;
  const char* const why = ask(&lacks);
  return {why, lacks != 0};
}

Answer explained(Answer answer, const DriverFailure& failure) {
  if (answer.status == Status::kOk || failure.why.empty()) return answer;
  // A guest that refuses may have its own reasons; what failed before is told as that.
  const char* const when = answer.status == Status::kUnsupported ? " had refused" : "";
  if (failure.lacks) answer.status = Status::kUnsupported;
  if (answer.why.find(failure.why) == std::string::npos)
    answer.why += fmt::format("; the emulated device{}: {}", when, failure.why);
  return answer;
}

void set_order(std::uint64_t seed) {
  const auto set = of_the_emulated<void (*)(std::uint64_t)>("flashbench_emulated_order");
  if (set != nullptr) set(seed);
}

}  // namespace flashbench::guest

#include "guest/gpu.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "cuda/device/driver_device.h"
#include "cuda/devices.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::guest {
namespace {

void* emulated_driver = nullptr;

}  // namespace

void use_emulated_driver(const std::string& library) {
  // Whoever opens libcuda.so.1 afterwards, or is linked with it, gets what goes by that name.
  emulated_driver = ::dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (emulated_driver == nullptr)
    throw UsageError(fmt::format("{}: {}", quote(library), ::dlerror()));
}

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

void set_order(std::uint64_t seed) {
  if (emulated_driver == nullptr) return;
  const auto set = reinterpret_cast<void (*)(std::uint64_t)>(
      ::dlsym(emulated_driver, "flashbench_emulated_order"));
  if (set != nullptr) set(seed);
}

}  // namespace flashbench::guest

// A libcuda.so.1 for tests: the driver of lib/emulated_driver, whose GPUs fail on demand. The real
// program loads it through LD_LIBRARY_PATH. FAKE_CUDA="name=value;..." sets
//
//   gpus          how many there are (1)
//   init, version what cuInit returns (0) and cuDriverGetVersion tells (13000)
//   total_mb      memory of each (512); free_mb what cuMemGetInfo claims, whatever is free
//   fault         CODE@TEXT: a launch of a kernel whose name has TEXT ends its context with that
//                 error, as an illegal address does: seen at the next wait, and for ever
//   refuse        CODE@TEXT: cuLaunchKernel itself refuses such a kernel, and the context survives
//   idle          1: launches do nothing
//   late_ms       how long streams other than the default one work on
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "cuda/image/image.h"
#include "emulated_driver/behaviour.h"
#include "tests/fake_gpu/settings.h"

namespace flashbench::emulated_driver {
namespace {

std::string setting(const char* name) { return fake::setting("FAKE_CUDA", name, ""); }
long number(const char* name, long otherwise) { return fake::number("FAKE_CUDA", name, otherwise); }
std::size_t megabytes(const char* name, long otherwise) {
  return static_cast<std::size_t>(number(name, otherwise)) << 20;
}

/// The error that "CODE@TEXT" asks for in a kernel of that name.
Result asked_for(const char* name, const std::string& kernel) {
  const std::string wanted = setting(name);
  const std::size_t at = wanted.find('@');
  if (at == std::string::npos || kernel.find(wanted.substr(at + 1)) == std::string::npos)
    return cuda::kSuccess;
  return static_cast<Result>(std::stol(wanted));
}

/// The image of the program that these bytes are, by the length in their header.
const cuda::Image* image_of(const void* bytes) {
  static const std::vector<cuda::Image> all = cuda::images();
  std::uint16_t header = 0;
  std::uint64_t body = 0;
  std::memcpy(&header, static_cast<const char*>(bytes) + 6, sizeof header);
  std::memcpy(&body, static_cast<const char*>(bytes) + 8, sizeof body);
  for (const cuda::Image& image : all)
    if (header + body <= image.fatbin.size() &&
        std::memcmp(bytes, image.fatbin.data(), header + body) == 0)
      return &image;
  return nullptr;
}

}  // namespace

std::size_t gpu_count() { return static_cast<std::size_t>(number("gpus", 1)); }
const char* gpu_name() { return "Fake GPU"; }
std::size_t memory_bytes() { return megabytes("total_mb", 512); }
std::optional<std::size_t> claimed_free_bytes() {
  if (setting("free_mb").empty()) return std::nullopt;
  return megabytes("free_mb", 0);
}
Result init_result() { return static_cast<Result>(number("init", 0)); }
int driver_version() { return static_cast<int>(number("version", 13000)); }

Fate fate_of(const std::string& kernel) {
  return {asked_for("refuse", kernel), asked_for("fault", kernel), number("idle", 0) != 0};
}

std::string_view told_of_errors() { return "as the test asked"; }
double late_s() { return 1e-3 * static_cast<double>(number("late_ms", 0)); }

std::optional<std::pair<std::string, std::string>> ptx_of(const void* image) {
  const char first = *static_cast<const char*>(image);
  if (first == '/' || first == '.' || first == '\n')
    return std::pair(std::string(static_cast<const char*>(image)), std::string("PTX"));
  const cuda::Image* const own = image_of(image);
  if (own == nullptr) return std::nullopt;
  return std::pair(std::string(own->ptx), std::string(own->name));
}

}  // namespace flashbench::emulated_driver

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cuda/device/device.h"
#include "emulated_driver/behaviour.h"
#include "emulated_driver/fat_binary.h"
#include "ptx/device.h"
#include "system/machine.h"

// One GPU that never fails by itself.
namespace flashbench::emulated_driver {
namespace {

constexpr int kCapability = 90;

}  // namespace

std::size_t gpu_count() { return 1; }
const char* gpu_name() { return cuda::kEmulatedName; }
/// Less than 8 GiB where this machine could not hold that many if all were touched.
std::size_t memory_bytes() {
  static const std::size_t bytes = [] {
    constexpr std::size_t kMost = std::size_t{8} << 30;
    const auto available = machine::available_memory_bytes();
    return available ? std::min<std::size_t>(kMost, *available / ptx::Device::kHostBytesPerByte)
                     : kMost;
  }();
  return bytes;
}
std::optional<std::size_t> claimed_free_bytes() { return std::nullopt; }
Result init_result() { return cuda::kSuccess; }
int driver_version() { return 13000; }
Fate fate_of(const std::string&) { return {}; }
std::string_view told_of_errors() { return ""; }
double late_s() { return 0; }

std::optional<std::pair<std::string, std::string>> ptx_of(const void* image) {
  constexpr const char* kName = "the module";
  if (is_fat_binary(image)) return std::pair(ptx_in(image, kCapability), std::string(kName));
  // Machine code begins with a number, PTX with a comment, a directive or a space.
  const std::string_view text(static_cast<const char*>(image), 1);
  if (std::string_view("/. \t\r\n").find(text[0]) == std::string_view::npos) return std::nullopt;
  return std::pair(std::string(static_cast<const char*>(image)), std::string(kName));
}

}  // namespace flashbench::emulated_driver

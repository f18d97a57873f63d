#include "cuda/device/monitor.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace flashbench::cuda {
namespace {

/// What one of NVML's functions gives, times `unit`; nullopt where there is none or it fails.
template <typename Value, typename... Parameters, typename... Arguments>
std::optional<double> ask(NvmlResult (*function)(NvmlDevice, Parameters...), Value value,
                          double unit, NvmlDevice device, Arguments... arguments) {
  if (function == nullptr || function(device, arguments..., &value) != kNvmlSuccess)
    return std::nullopt;
  return static_cast<double>(value) * unit;
}

constexpr double kHzPerMhz = 1e6, kMilli = 1e-3;

std::vector<std::string> reasons_in(unsigned long long bits) {
  constexpr std::pair<unsigned long long, const char*> kReasons[] = {
      {kNvmlPowerCap, "power limit"},
      {kNvmlHardwareSlowdown, "hardware slowdown"},
      {kNvmlSyncBoost, "sync boost with other GPUs"},
      {kNvmlThermalSlowdown, "temperature"},
      {kNvmlHardwareThermal, "temperature (hardware)"},
      {kNvmlPowerBrake, "power brake (power supply)"}};
  std::vector<std::string> reasons;
  for (const auto& [bit, text] : kReasons)
    if ((bits & bit) != 0) reasons.emplace_back(text);
  return reasons;
}

}  // namespace

Monitor::Monitor(const NvmlApi* api, const std::string& missing, const std::string& pci_bus_id)
    : api_(api), missing_(missing) {
  if (api_ == nullptr) return;
  const NvmlResult r = api_->device_by_pci(pci_bus_id.c_str(), &device_);
  if (r == kNvmlSuccess) return;
  missing_ = fmt::format("NVML does not know GPU {}: {}", pci_bus_id, api_->error_text(r));
  api_ = nullptr;
}

DeviceReading Monitor::read_clocks() const {
  DeviceReading now;
  now.missing = missing_;
  if (api_ == nullptr) return now;
  now.sm_clock_hz = ask(api_->clock, 0u, kHzPerMhz, device_, kNvmlClockSm);
  now.max_sm_clock_hz = ask(api_->max_clock, 0u, kHzPerMhz, device_, kNvmlClockSm);
  unsigned long long bits = 0;
  if (api_->throttle_reasons != nullptr && api_->throttle_reasons(device_, &bits) == kNvmlSuccess)
    now.throttle_reasons = reasons_in(bits);
  return now;
}

DeviceReading Monitor::read() const {
  DeviceReading now = read_clocks();
  if (api_ == nullptr) return now;
  now.memory_clock_hz = ask(api_->clock, 0u, kHzPerMhz, device_, kNvmlClockMemory);
  now.max_memory_clock_hz = ask(api_->max_clock, 0u, kHzPerMhz, device_, kNvmlClockMemory);
  now.power_w = ask(api_->power, 0u, kMilli, device_);
  now.power_limit_w = ask(api_->power_limit, 0u, kMilli, device_);
  now.temperature_c = ask(api_->temperature, 0u, 1, device_, kNvmlTemperatureGpu);
  if (const auto count = ask(api_->ecc_errors, 0ull, 1, device_, kNvmlUncorrected, kNvmlVolatile))
    now.ecc_errors = static_cast<std::uint64_t>(*count);
  return now;
}

std::optional<double> Monitor::energy_j() const {
  return api_ == nullptr ? std::nullopt : ask(api_->energy, 0ull, kMilli, device_);
}

std::string Monitor::energy_missing() const {
  if (api_ == nullptr) return missing_;
  return energy_j() ? "" : "this GPU counts no energy (NVML has the counter from Volta on)";
}

std::string Monitor::driver_version() const {
  std::array<char, 96> version{};
  if (api_ == nullptr || api_->driver_version == nullptr ||
      api_->driver_version(version.data(), static_cast<unsigned>(version.size()) - 1) !=
          kNvmlSuccess)
    return "";
  return version.data();
}

}  // namespace flashbench::cuda

// NVML as a table that says what it is told: which GPU is asked, what is missing and what is read.
#include "cuda/device/monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/cuda/abi.h"

#if __has_include(<nvml.h>)
#include <nvml.h>
#endif

namespace flashbench::cuda {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

#if __has_include(<nvml.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
// The table was written by hand: NVML's own header agrees with it.
static_assert(
    same_abi<decltype(NvmlApi::init), decltype(&nvmlInit_v2)> &&
    same_abi<decltype(NvmlApi::error_text), decltype(&nvmlErrorString)> &&
    same_abi<decltype(NvmlApi::device_by_pci), decltype(&nvmlDeviceGetHandleByPciBusId_v2)> &&
    same_abi<decltype(NvmlApi::driver_version), decltype(&nvmlSystemGetDriverVersion)> &&
    same_abi<decltype(NvmlApi::clock), decltype(&nvmlDeviceGetClockInfo)> &&
    same_abi<decltype(NvmlApi::max_clock), decltype(&nvmlDeviceGetMaxClockInfo)> &&
    same_abi<decltype(NvmlApi::throttle_reasons),
             decltype(&nvmlDeviceGetCurrentClocksEventReasons)> &&
    same_abi<decltype(NvmlApi::power), decltype(&nvmlDeviceGetPowerUsage)> &&
    same_abi<decltype(NvmlApi::power_limit), decltype(&nvmlDeviceGetEnforcedPowerLimit)> &&
    same_abi<decltype(NvmlApi::temperature), decltype(&nvmlDeviceGetTemperature)> &&
    same_abi<decltype(NvmlApi::energy), decltype(&nvmlDeviceGetTotalEnergyConsumption)> &&
    same_abi<decltype(NvmlApi::ecc_errors), decltype(&nvmlDeviceGetTotalEccErrors)>);
static_assert(kNvmlSuccess == NVML_SUCCESS && kNvmlClockSm == NVML_CLOCK_SM);
static_assert(kNvmlClockMemory == NVML_CLOCK_MEM && kNvmlTemperatureGpu == NVML_TEMPERATURE_GPU);
static_assert(kNvmlUncorrected == NVML_MEMORY_ERROR_TYPE_UNCORRECTED);
static_assert(kNvmlVolatile == NVML_VOLATILE_ECC);
static_assert(kNvmlPowerCap == nvmlClocksThrottleReasonSwPowerCap);
static_assert(kNvmlHardwareSlowdown == nvmlClocksThrottleReasonHwSlowdown);
static_assert(kNvmlSyncBoost == nvmlClocksThrottleReasonSyncBoost);
static_assert(kNvmlThermalSlowdown == nvmlClocksThrottleReasonSwThermalSlowdown);
static_assert(kNvmlHardwareThermal == nvmlClocksThrottleReasonHwThermalSlowdown);
static_assert(kNvmlPowerBrake == nvmlClocksThrottleReasonHwPowerBrakeSlowdown);
#pragma GCC diagnostic pop
#endif

constexpr NvmlResult kNotSupported = 3, kNotFound = 6;
constexpr const char* kBusId = "0000:3B:00.0";

/// What the fake says; one test runs at a time.
struct Script {
  unsigned long long reasons = 1;  // idle
  NvmlResult energy = kNvmlSuccess, power = kNvmlSuccess;
} script;

NvmlApi fake_nvml() {
  NvmlApi api{};
  api.error_text = [](NvmlResult r) { return r == kNotFound ? "Not Found" : "Not Supported"; };
  api.device_by_pci = [](const char* id, NvmlDevice* device) {
    *device = &script;
    return std::strcmp(id, kBusId) == 0 ? kNvmlSuccess : kNotFound;
  };
  api.driver_version = [](char* text, unsigned) { return std::strcpy(text, "580.65.06"), 0; };
  api.clock = [](NvmlDevice, int type, unsigned* mhz) {
    return *mhz = type == kNvmlClockSm ? 1410 : 2619, kNvmlSuccess;
  };
  api.max_clock = [](NvmlDevice, int type, unsigned* mhz) {
    return *mhz = type == kNvmlClockSm ? 1980 : 2619, kNvmlSuccess;
  };
  api.throttle_reasons = [](NvmlDevice, unsigned long long* bits) {
    return *bits = script.reasons, kNvmlSuccess;
  };
  api.power = [](NvmlDevice, unsigned* mw) { return *mw = 698500, script.power; };
  api.power_limit = [](NvmlDevice, unsigned* mw) { return *mw = 700000, kNvmlSuccess; };
  api.temperature = [](NvmlDevice, int, unsigned* c) { return *c = 64, kNvmlSuccess; };
  api.energy = [](NvmlDevice, unsigned long long* mj) { return *mj = 12345678, script.energy; };
  api.ecc_errors = [](NvmlDevice, int type, int, unsigned long long* n) {
    return *n = type == kNvmlUncorrected ? 2 : 0, kNvmlSuccess;
  };
  return api;
}

class Nvml : public testing::Test {
 protected:
  Nvml() { script = Script{}; }
  NvmlApi api_ = fake_nvml();
};

TEST_F(Nvml, ReadsInUnitsOfTheReport) {
  const Monitor monitor(&api_, "", kBusId);
  const DeviceReading now = monitor.read();
  EXPECT_EQ(now.missing, "");
  EXPECT_EQ(now.sm_clock_hz, 1.41e9);
  EXPECT_EQ(now.max_sm_clock_hz, 1.98e9);
  EXPECT_EQ(now.memory_clock_hz, 2.619e9);
  EXPECT_EQ(now.power_w, 698.5);
  EXPECT_EQ(now.power_limit_w, 700.0);
  EXPECT_EQ(now.temperature_c, 64.0);
  EXPECT_EQ(now.ecc_errors, 2u);
  EXPECT_DOUBLE_EQ(monitor.energy_j().value(), 12345.678);
  EXPECT_EQ(monitor.energy_missing(), "");
  EXPECT_EQ(monitor.driver_version(), "580.65.06");
}

TEST_F(Nvml, AnIdleGpuAndChosenClocksAreNotThrottled) {
  const Monitor monitor(&api_, "", kBusId);
  script.reasons = 0x1 | 0x2;
  EXPECT_THAT(monitor.read_clocks().throttle_reasons, IsEmpty());
  script.reasons = 0x4 | 0x40;
  EXPECT_THAT(monitor.read_clocks().throttle_reasons,
              ElementsAre("power limit", "temperature (hardware)"));
}

TEST_F(Nvml, WhatOneGpuDoesNotTellIsAbsentAndTheRestIsRead) {
  const Monitor monitor(&api_, "", kBusId);
  script.power = script.energy = kNotSupported;
  const DeviceReading now = monitor.read();
  EXPECT_FALSE(now.power_w);
  EXPECT_EQ(now.temperature_c, 64.0);
  EXPECT_FALSE(monitor.energy_j());
  EXPECT_THAT(monitor.energy_missing(), HasSubstr("counts no energy"));
}

TEST_F(Nvml, AnOlderLibraryLacksFunctions) {
  api_.throttle_reasons = nullptr;
  api_.energy = nullptr;
  api_.driver_version = nullptr;
  const Monitor monitor(&api_, "", kBusId);
  EXPECT_THAT(monitor.read().throttle_reasons, IsEmpty());
  EXPECT_EQ(monitor.read().sm_clock_hz, 1.41e9);
  EXPECT_FALSE(monitor.energy_j());
  EXPECT_EQ(monitor.driver_version(), "");
}

TEST_F(Nvml, AnotherGpuIsNeverReadInItsPlace) {
  const Monitor monitor(&api_, "", "0000:5E:00.0");
  EXPECT_EQ(monitor.read().missing, "NVML does not know GPU 0000:5E:00.0: Not Found");
  EXPECT_FALSE(monitor.read().sm_clock_hz);
  EXPECT_FALSE(monitor.energy_j());
}

TEST_F(Nvml, WithoutItEverythingCarriesOnAndSaysSo) {
  const Monitor monitor(nullptr, "no NVML: libnvidia-ml.so.1 was not found", kBusId);
  EXPECT_EQ(monitor.read_clocks().missing, "no NVML: libnvidia-ml.so.1 was not found");
  EXPECT_EQ(monitor.energy_missing(), "no NVML: libnvidia-ml.so.1 was not found");
  EXPECT_FALSE(monitor.energy_j());
  EXPECT_EQ(monitor.driver_version(), "");
}

}  // namespace
}  // namespace flashbench::cuda

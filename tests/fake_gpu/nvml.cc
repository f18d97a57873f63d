// A libnvidia-ml.so.1 for tests. FAKE_NVML="name=value;..." sets
//
//   init     what nvmlInit returns (0)
//   gpus     how many it knows (1), at the addresses that the fake driver gives them
//   clock    the SM clock in MHz (1980, which is also the most)
//   reasons  bits of the throttle reasons (1: idle)
//   energy   0: no energy counter
//   slow_ms  what a reading of that counter takes (0)
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "tests/fake_gpu/settings.h"

namespace {

constexpr int kSuccess = 0, kInvalidArgument = 2, kNotSupported = 3, kNotFound = 6;

long number(const char* name, long otherwise) { return fake::number("FAKE_NVML", name, otherwise); }

/// A handle is the bus number.
long bus_of(void* device) { return static_cast<long>(reinterpret_cast<std::intptr_t>(device)); }

}  // namespace

extern "C" {

int nvmlInit_v2() { return static_cast<int>(number("init", 0)); }

const char* nvmlErrorString(int error) {
  return error == kNotFound       ? "Not Found"
         : error == kNotSupported ? "Not Supported"
                                  : "Driver Not Loaded";
}

int nvmlSystemGetDriverVersion(char* version, unsigned bytes) {
  std::strncpy(version, "580.65.06", bytes);
  return kSuccess;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** device) {
  for (long i = 0; i < number("gpus", 1); ++i) {
    char expected[32];
    std::snprintf(expected, sizeof expected, "0000:%02lX:00.0", 0x3a + i);
    if (std::strcmp(bus_id, expected) != 0) continue;
    *device = reinterpret_cast<void*>(0x3a + i);
    return kSuccess;
  }
  return kNotFound;
}

int nvmlDeviceGetClockInfo(void* device, int type, unsigned* mhz) {
  // The second GPU's is another one, so that a mix-up is seen.
  *mhz = type == 2 ? 2619u
                   : static_cast<unsigned>(number("clock", 1980) - 100 * (bus_of(device) - 0x3a));
  return type == 1 || type == 2 ? kSuccess : kInvalidArgument;
}

int nvmlDeviceGetMaxClockInfo(void*, int type, unsigned* mhz) {
  *mhz = type == 1 ? 1980 : 2619;
  return kSuccess;
}

// The old name, as drivers before 535 have it.
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  *reasons = static_cast<unsigned long long>(number("reasons", 1));
  return kSuccess;
}

int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) {
  *milliwatts = 71500;
  return kSuccess;
}

int nvmlDeviceGetEnforcedPowerLimit(void*, unsigned* milliwatts) {
  *milliwatts = 700000;
  return kSuccess;
}

int nvmlDeviceGetTemperature(void*, int, unsigned* celsius) {
  *celsius = 31;
  return kSuccess;
}

/// 100 W, counted in steps of 20 ms.
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
  if (number("energy", 1) == 0) return kNotSupported;
  std::this_thread::sleep_for(std::chrono::milliseconds(number("slow_ms", 0)));
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const auto steps = std::chrono::duration_cast<std::chrono::milliseconds>(now).count() / 20;
  *millijoules = 2000ull * static_cast<unsigned long long>(steps);
  return kSuccess;
}

int nvmlDeviceGetTotalEccErrors(void*, int, int, unsigned long long* count) {
  *count = 0;
  return kSuccess;
}

}  // extern "C"

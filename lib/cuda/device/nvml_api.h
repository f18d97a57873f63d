#pragma once

#include <string>

// The part of NVML (the NVIDIA management library, a part of every driver) that this backend calls,
// declared here so that neither a build nor a program needs it. The signatures and numbers are
// those of <nvml.h>.
namespace flashbench::cuda {

using NvmlResult = int;    // nvmlReturn_t
using NvmlDevice = void*;  // nvmlDevice_t

inline constexpr NvmlResult kNvmlSuccess = 0;
inline constexpr int kNvmlClockSm = 1, kNvmlClockMemory = 2;  // nvmlClockType_t
inline constexpr int kNvmlTemperatureGpu = 0;                 // nvmlTemperatureSensors_t
inline constexpr int kNvmlUncorrected = 1;                    // nvmlMemoryErrorType_t
inline constexpr int kNvmlVolatile = 0;                       // nvmlEccCounterType_t
inline constexpr unsigned long long kNvmlPowerCap = 0x4, kNvmlHardwareSlowdown = 0x8,
                                    kNvmlSyncBoost = 0x10, kNvmlThermalSlowdown = 0x20,
                                    kNvmlHardwareThermal = 0x40, kNvmlPowerBrake = 0x80;

struct NvmlApi {
  NvmlResult (*init)();
  const char* (*error_text)(NvmlResult error);
  NvmlResult (*device_by_pci)(const char* bus_id, NvmlDevice* device);
  // A library that lacks one of these tells less: then it is null.
  NvmlResult (*driver_version)(char* version, unsigned bytes);
  NvmlResult (*clock)(NvmlDevice device, int type, unsigned* mhz);
  NvmlResult (*max_clock)(NvmlDevice device, int type, unsigned* mhz);
  NvmlResult (*throttle_reasons)(NvmlDevice device, unsigned long long* reasons);
  NvmlResult (*power)(NvmlDevice device, unsigned* milliwatts);
  NvmlResult (*power_limit)(NvmlDevice device, unsigned* milliwatts);
  NvmlResult (*temperature)(NvmlDevice device, int sensor, unsigned* celsius);
  NvmlResult (*energy)(NvmlDevice device, unsigned long long* millijoules);
  NvmlResult (*ecc_errors)(NvmlDevice device, int type, int counter, unsigned long long* count);
};

/// Loads libnvidia-ml.so.1 and initialises it, once. On failure returns nullptr and says why in
/// `absent`.
const NvmlApi* load_nvml(std::string& absent);

}  // namespace flashbench::cuda

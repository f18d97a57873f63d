#pragma once

#include <optional>
#include <string>

#include "core/device_reading.h"
#include "cuda/device/nvml_api.h"

namespace flashbench::cuda {

/// Clocks, what holds them down, power and energy of one GPU, through NVML. Without NVML everything
/// is absent and `missing` says why. Energy and power are of the whole board, whoever uses it.
class Monitor {
 public:
  /// `pci_bus_id` finds the same GPU that CUDA means: NVML counts all of the machine, in an order
  /// of its own, whatever CUDA_VISIBLE_DEVICES says.
  Monitor(const NvmlApi* api, const std::string& missing, const std::string& pci_bus_id);

  /// Everything; takes some milliseconds.
  DeviceReading read() const;
  /// Clocks and what holds them down only: cheap enough between samples.
  DeviceReading read_clocks() const;
  /// Joules since the driver was loaded; nullopt where the GPU does not count them. The counter
  /// moves some ten times a second.
  std::optional<double> energy_j() const;
  /// Why energy_j() gives nothing; empty when it does.
  std::string energy_missing() const;
  /// "550.54.15"; empty where it is not known.
  std::string driver_version() const;

 private:
  const NvmlApi* api_;
  NvmlDevice device_ = nullptr;
  std::string missing_;
};

}  // namespace flashbench::cuda

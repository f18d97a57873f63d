#pragma once

#include <cstdint>
#include <string>

#include "cuda/device/device.h"

// The GPU of a process that serves guests: hardware, or the emulated device behind a driver's
// interface (lib/emulated_driver), which guests then call as they would call CUDA's.
namespace flashbench::guest {

/// From here on this process's driver is that of the emulated device. To be called before anything
/// loads another. Throws UsageError.
void use_emulated_driver(const std::string& library);

/// The GPU with that index, opened when first asked for. Throws UnavailableError.
cuda::Device& gpu(int index);

/// The launches from here on are executed in orders that follow from `seed` alone, on the emulated
/// device.
void set_order(std::uint64_t seed);

}  // namespace flashbench::guest

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cuda/device/device.h"
#include "guest/guest.h"
#include "guest/tensors.h"

// The GPU of a process that serves guests: hardware, or the emulated device behind a driver's
// interface (lib/emulated_driver), which guests then call as they would call CUDA's.
namespace flashbench::guest {

/// From here on this process's driver is that of the emulated device. To be called before anything
/// loads another. Throws UsageError.
void use_emulated_driver(const std::string& library);
bool on_emulated_driver();

/// The GPU with that index, opened when first asked for. Throws UnavailableError.
cuda::Device& gpu(int index);

/// What findings of the emulated device call memory that this process has just allocated. `tensor`:
/// what lies there; null: bytes. While what is returned lives, a guest that frees it fails.
[[nodiscard]] std::shared_ptr<void> name_memory(cuda::Address address, const std::string& name,
                                                const Placed* tensor);

/// On the emulated device: whether a guest has queued work on another stream than that of its call
/// that nobody waits for, since this was last asked.
bool left_work_unjoined();

/// Of the emulated device's driver.
struct DriverFailure {
  std::string why;     ///< a line; "": none
  bool lacks = false;  ///< the guest asked for what is not there
};

/// Of its last call that failed since this was last asked.
DriverFailure emulated_driver_failure();

/// A guest's answer with what the driver, which may know more, told meanwhile. Where the driver
/// lacks what the guest wants, the guest has not failed: that is kUnsupported. An answer kOk stays.
Answer explained(Answer answer, const DriverFailure& failure);

/// The launches from here on are executed in orders that follow from `seed` alone, on the emulated
/// device.
void set_order(std::uint64_t seed);

}  // namespace flashbench::guest

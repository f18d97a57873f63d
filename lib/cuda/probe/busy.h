#pragma once

#include "cuda/device/device.h"

namespace flashbench::cuda {

/// Queues work that takes a GPU some 80 us and touches no memory: what is queued meanwhile follows
/// at once, and no time between events has in it how long a launch takes to arrive.
void keep_busy(Device& device);

}  // namespace flashbench::cuda

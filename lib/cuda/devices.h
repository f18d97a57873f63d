#pragma once

#include <string>
#include <vector>

#include "cuda/device/device.h"

// Which devices there are, each opened once, with its peak probe and its monitor.
namespace flashbench::cuda {

/// The GPUs of this machine, as CUDA orders them, or why there are none, in one line. An empty
/// CUDA_VISIBLE_DEVICES hides them all.
struct Gpus {
  std::vector<DeviceInfo> found;
  std::string absent;  ///< empty when there is one
};
const Gpus& gpus();

/// The GPU with that index, opened when first asked for. Throws UnavailableError.
Device& gpu(int index);

class PeakProbe;
class Monitor;
/// The peaks of that GPU, and what NVML says about it. Throw UnavailableError like gpu().
PeakProbe& peak_probe(int index);
const Monitor& monitor(int index);

/// The emulated device; nothing but the processor is needed. Throws UnavailableError in a build
/// without kernels.
Device& emulated_device();

/// gpu(index), or the emulated device for kEmulatedDevice.
Device& device(int index);

}  // namespace flashbench::cuda

#pragma once

#include <cstddef>
#include <string>

#include "core/dtype.h"
#include "ptx/device.h"

namespace flashbench::guest {

/// Numbers in the memory of the emulated device.
struct DeviceNumbers {
  std::string name;  ///< in errors
  ptx::Address address = 0;
  std::size_t bytes = 0;
  Dtype dtype = Dtype::kF32;
};

/// What a host does with a tensor between two launches: the first `count` numbers times `factor`,
/// in f32, each rounded to the dtype of where it goes. Throws DeviceError where one of them has
/// fewer numbers, or one that is read was never written.
void scaled_copy(ptx::Device& device, const DeviceNumbers& from, const DeviceNumbers& to,
                 std::size_t count, float factor);

}  // namespace flashbench::guest

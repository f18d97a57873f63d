#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "guest/launch_description.h"
#include "ptx/device.h"

namespace flashbench::guest {

/// A step of a launch description with the numbers of a problem; strings are those of LaunchStep.
struct Launch {
  std::string zero, entry, ptx;
  std::optional<LaunchCopy> copy;
  double factor = 1;  ///< of the copy
  ptx::Dim3 grid, block;
  std::size_t shared_bytes = 0;
  std::vector<std::vector<std::byte>> arguments;
};

using AddressOf = std::function<ptx::Address(const std::string& memory)>;

/// Throws UsageError where a formula has no value for the problem, or none that fits its place.
std::vector<Launch> launches(const std::vector<LaunchStep>& steps, const Variables& variables,
                             const AddressOf& address_of);

}  // namespace flashbench::guest

#pragma once

#include <optional>
#include <string>

namespace flashbench::cuda {

/// Why this build has no CUDA kernels; nullopt when it has.
std::optional<std::string> absent();

/// The CUDA toolkit that compiled the kernels, "13.0"; empty without one.
std::string toolkit();

}  // namespace flashbench::cuda

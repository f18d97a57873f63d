#pragma once

#include <string>

namespace flashbench::cuda {

/// Why the CUDA backend cannot be used.
std::string absent();

}  // namespace flashbench::cuda

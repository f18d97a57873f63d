#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cuda/device/driver_api.h"

/// What a library around this driver decides: main.cc for plug-ins, tests/fake_gpu for tests, where
/// a driver fails on demand.
namespace flashbench::emulated_driver {

using cuda::Result;

/// How many GPUs there are, at the first question.
std::size_t gpu_count();
const char* gpu_name();
/// Of each, and what of it cuMemGetInfo claims to be free; nullopt: what is.
std::size_t memory_bytes();
std::optional<std::size_t> claimed_free_bytes();
/// What cuInit returns, and what cuDriverGetVersion tells.
Result init_result();
int driver_version();

/// A module's PTX and its name in findings; nullopt where what it is loaded from is something else.
/// Throws FatBinaryError for a fat binary without PTX that can be had.
std::optional<std::pair<std::string, std::string>> ptx_of(const void* image);

/// What becomes of a launch of a kernel of that name, before anything is executed.
struct Fate {
  Result refused = cuda::kSuccess;  ///< by cuLaunchKernel; the context survives
  Result fault = cuda::kSuccess;    ///< seen at the next wait, and for ever
  bool idle = false;                ///< nothing is executed
};
Fate fate_of(const std::string& kernel);

/// What cuGetErrorString says of any error; empty: what the driver knows of it.
std::string_view told_of_errors();

/// Seconds that work of other streams than the default one is there after that is done.
double late_s();

}  // namespace flashbench::emulated_driver

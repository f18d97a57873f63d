#pragma once

#include <stdexcept>
#include <string>

// What nvcc puts PTX and machine code of several architectures into.
namespace flashbench::emulated_driver {

class FatBinaryError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Whether an image is one, or the wrapper around one that programs register with the CUDA runtime.
bool is_fat_binary(const void* image);

/// The PTX in it for the newest architecture up to `capability` (90 is compute capability 9.0).
/// Throws FatBinaryError where it has none, it is compressed by what is not here, or sizes in it
/// contradict each other. That the image is as long as it says cannot be seen.
std::string ptx_in(const void* image, int capability);

}  // namespace flashbench::emulated_driver

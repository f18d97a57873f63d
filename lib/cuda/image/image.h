#pragma once

#include <string_view>
#include <vector>

namespace flashbench::cuda {

/// One compilation of a .cu file. `fatbin` was made from exactly this `ptx`.
struct Image {
  std::string_view name;    ///< e.g. "simt_f32_forward", "mma_sm80_dq_bf16"
  std::string_view ptx;     ///< text, for the emulated device
  std::string_view fatbin;  ///< machine code for some capabilities and PTX for newer ones
};

/// Every image of this build; empty without the CUDA toolkit.
std::vector<Image> images();

/// The image that holds a kernel. Throws DeviceError when none does.
Image image_with(std::string_view entry);

}  // namespace flashbench::cuda

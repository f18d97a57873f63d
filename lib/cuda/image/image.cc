#include "cuda/image/image.h"

#include <fmt/format.h>

#include "system/error.h"

namespace flashbench::cuda {

Image image_with(std::string_view entry) {
  const std::string declaration = fmt::format(".entry {}(", entry);
  for (const Image& image : images())
    if (image.ptx.find(declaration) != std::string_view::npos) return image;
  throw DeviceError(fmt::format("no kernel {} in this build", entry));
}

}  // namespace flashbench::cuda

#pragma once

#include <optional>
#include <string>

#include "data/tensor_file.h"

namespace flashbench::data {

/// What a file that is neither .safetensors nor .npy is by its first bytes, and what to do with it:
/// "is a .npz archive; ...", the end of a message. nullopt where they tell nothing.
std::optional<std::string> other_format(const InputFile& file);

}  // namespace flashbench::data

#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "data/tensor_file.h"

namespace flashbench::data {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

/// Opens a NumPy array file: version 1.0, 2.0 or 3.0, C order, one of `<f4`, `<f2`, `|u1`, `|b1`,
/// under any of the names that NumPy takes for them (`=f4`, `f4`, `float32`).
/// Throws UsageError, one line that names the file and the numbers, for anything else and for a
/// header that does not match the file's size.
/// Source: numpy.lib.format, NEP 1.
TensorFile open_npy(std::shared_ptr<const InputFile> file);
inline TensorFile open_npy(const std::string& path) {
  return open_npy(std::make_shared<const InputFile>(path));
}

}  // namespace flashbench::data

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/tensor_file.h"

namespace flashbench::data {

/// As the reference implementation.
inline constexpr std::uint64_t kMostSafetensorsHeaderBytes = 100'000'000;

/// Opens a .safetensors file: 8 bytes little-endian header length, a JSON header, the data.
/// Throws UsageError, one line that names the file, the tensor and the numbers, for a header that
/// lies in any way: the tensors must fill the data exactly, without overlap, hole or rest.
/// Tensors of types that attention does not read are listed as OtherElement::kUnread.
/// Source: https://github.com/huggingface/safetensors, "Format".
TensorFile open_safetensors(std::shared_ptr<const InputFile> file);
inline TensorFile open_safetensors(const std::string& path) {
  return open_safetensors(std::make_shared<const InputFile>(path));
}

using ByteSink = std::function<void(std::span<const std::byte>)>;

struct TensorToWrite {
  std::string name;
  Element element = Dtype::kF32;  ///< not kUnread
  std::vector<std::int64_t> shape;
  /// Called once; gives the data to the sink in any number of pieces.
  std::function<void(const ByteSink&)> produce;
};

/// Writes a .safetensors file atomically (core/atomic_file.h says what that means for FIFOs and
/// devices, and which errors it throws). Names must differ. Wider elements come first, so that each
/// tensor is aligned to its element.
void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace flashbench::data

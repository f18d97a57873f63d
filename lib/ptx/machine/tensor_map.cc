#include "ptx/machine/tensor_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>

#include "system/error.h"

namespace flashbench::ptx {

TensorMap encode_tensor_map(Address base, int element_bytes, std::span<const std::uint32_t> size,
                            std::span<const std::uint64_t> strides,
                            std::span<const std::uint16_t> box, Swizzle swizzle) {
  const auto refuse = [](const std::string& why) { throw DeviceError("tensor map: " + why); };
  const std::size_t rank = size.size();
  if (rank < 1 || rank > 5 || strides.size() + 1 != rank || box.size() != rank) {
    refuse(fmt::format("{} sizes, {} strides, {} box sizes", rank, strides.size(), box.size()));
  }
  if (base % 16 != 0) refuse("the base is not 16-byte aligned");
  TensorMap m;
  m.magic = kTensorMapMagic;
  m.base = base;
  m.rank = static_cast<std::uint8_t>(rank);
  m.element_bytes = static_cast<std::uint8_t>(element_bytes);
  m.swizzle = swizzle;
  for (std::size_t i = 0; i < rank; ++i) {
    if (box[i] == 0 || box[i] > 256) refuse(fmt::format("a box of {} elements", box[i]));
    if (size[i] == 0) refuse("an empty dimension");
    if (i > 0 && strides[i - 1] % 16 != 0) {
      refuse(fmt::format("a stride of {} bytes is no multiple of 16", strides[i - 1]));
    }
    m.size[i] = size[i];
    m.box[i] = box[i];
    if (i > 0) m.stride[i - 1] = strides[i - 1];
  }
  const int row = box[0] * element_bytes;
  if (row % 16 != 0) refuse(fmt::format("an inner box of {} bytes is no multiple of 16", row));
  if (swizzle != Swizzle::kNone && row > 16 << static_cast<int>(swizzle)) {
    refuse(fmt::format("an inner box of {} bytes exceeds the swizzle's span", row));
  }
  return m;
}

bool is_tensor_map(const TensorMap& m) {
  if (m.magic != kTensorMapMagic || m.rank < 1 || m.rank > m.box.size()) return false;
  const auto is_box = [](std::uint16_t n) { return n >= 1 && n <= 256; };
  return std::all_of(m.box.begin(), m.box.begin() + m.rank, is_box) &&
         std::has_single_bit(m.element_bytes) && m.element_bytes <= 16 &&
         m.swizzle <= Swizzle::k128;
}

}  // namespace flashbench::ptx

#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "ptx/machine/options.h"

namespace flashbench::ptx {

/// By the bytes in which 16-byte chunks change places.
enum class Swizzle : std::uint8_t { kNone, k32, k64, k128 };

/// Where what belongs at a shared address is.
constexpr std::uint32_t swizzled(std::uint32_t address, Swizzle s) {
  const std::uint32_t chunks = (1u << static_cast<int>(s)) - 1;
  return address ^ ((address >> 7 & chunks) << 4);
}

/// What cuTensorMapEncodeTiled makes, for the emulated device: 128 bytes that a kernel takes as a
/// __grid_constant__ parameter. Coordinates outside the tensor read as zero and are not written.
struct alignas(64) TensorMap {
  std::uint64_t magic = 0, base = 0;
  std::array<std::uint64_t, 4> stride{};  ///< bytes, of dimensions 1 and up
  std::array<std::uint32_t, 5> size{};    ///< elements
  std::array<std::uint16_t, 5> box{};
  std::uint8_t rank = 0, element_bytes = 0;
  Swizzle swizzle = Swizzle::kNone;
  std::uint8_t is_f32 = 0;  ///< 1: not just as wide; what reductions add
};
static_assert(sizeof(TensorMap) == 128);
constexpr std::uint64_t kTensorMapMagic = 0x70616D2D726F736E;

/// Dimension 0 is contiguous; `strides` are of the others, in bytes. Refuses with DeviceError what
/// cuTensorMapEncodeTiled refuses: a base or strides that are no multiple of 16, a box beyond 256,
/// an inner box beyond the swizzle's span.
TensorMap encode_tensor_map(Address base, int element_bytes, std::span<const std::uint32_t> size,
                            std::span<const std::uint64_t> strides,
                            std::span<const std::uint16_t> box, Swizzle swizzle);

/// Whether bytes that a kernel calls a tensor map can be one: it may have written them itself.
bool is_tensor_map(const TensorMap& m);

}  // namespace flashbench::ptx

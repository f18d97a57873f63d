#pragma once

#include <cstdint>

#include "cuda/contract/arguments.h"

// Tensors that TMA (cp.async.bulk.tensor, compute capability 9.0) moves in boxes: plain data, read
// by nvcc and by the host's compiler.
namespace flashbench::cuda {

inline constexpr int kBoxColumns = 64;  ///< 16-bit elements in the 128 bytes of the swizzle

/// What a bulk tensor copy takes: made by Device::tensor_map, opaque from then on.
struct alignas(128) TensorMap {
  unsigned char bytes[128];
};

/// A [batch, head, row, dim] tensor of 16-bit elements, moved in boxes of box_rows x kBoxColumns of
/// one head. Zeros stand for what lies beyond the tensor. A row of a box, 128 bytes, has its
/// 16-byte chunks permuted by XOR with the row's number (the 128-byte swizzle).
struct BoxedTensor {
  std::uint64_t address;    ///< a multiple of 16
  std::uint32_t size[4];    ///< of dim, row, head, batch
  std::uint64_t stride[3];  ///< bytes of row, head, batch; multiples of 16
  std::uint32_t box_rows;
};

/// The only argument of kernels that move boxes: the problem, and its tensors as maps.
struct BoxedAttention {
  Attention a;
  TensorMap q, k, v, d_o;      ///< K and V: of kept keys alone, see Attention::packed_k
  std::int32_t heads_at_once;  ///< see Launch
};

}  // namespace flashbench::cuda

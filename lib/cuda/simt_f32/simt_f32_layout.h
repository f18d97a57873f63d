#pragma once

#include <cstddef>
#include <cstdint>

/// Tiles of simt_f32: constexpr code without a CUDA include, so that the host launches with the
/// numbers that the kernels were compiled with.
namespace flashbench::cuda::simt {

inline constexpr int kThreads = 256;
inline constexpr int kColumns = 64;  ///< of a score tile
inline constexpr int kDepth = 32;    ///< of the head dimension, staged at a time for the scores
inline constexpr int kWidth = 64;    ///< of the head dimension, staged at a time for the sums
inline constexpr int kPad = 4;       ///< floats: rows start in different banks, 16-byte aligned

/// The head dimension that the entry points are compiled for: the least one that holds d.
constexpr int padded_d(std::int64_t d) {
  return d <= 64 ? 64 : d <= 128 ? 128 : d <= 256 ? 256 : d <= 512 ? 512 : 1024;
}
/// Queries of a block of the forward and of dQ; keys of a block of dK and dV.
constexpr int query_rows(int padded) { return padded <= 256 ? 64 : 64 * 256 / padded; }
constexpr int key_rows(int padded) { return padded <= 128 ? 64 : padded <= 256 ? 32 : 16; }

/// Shared memory of one block. The slices of Q and K that scores are made of and the slices of V
/// that the weights multiply are never needed together: they share their bytes. 21 to 36 KB, so
/// that no launch has to opt into more than 48 KB.
template <int kRows>
struct Shared {
  union {
    struct {
      float rows[kRows][kDepth + kPad], columns[kColumns][kDepth + kPad];
    } factors;
    float values[kColumns][kWidth + kPad];
  };
  float weights[kRows][kColumns + kPad];
};

constexpr std::size_t shared_bytes(int rows) {
  return rows == 64 ? sizeof(Shared<64>) : rows == 32 ? sizeof(Shared<32>) : sizeof(Shared<16>);
}

}  // namespace flashbench::cuda::simt

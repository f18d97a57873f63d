#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda/contract/arguments.h"

namespace flashbench::cuda {

/// A batch of column-major matrices in device memory; strides in elements.
struct GemmMatrix {
  Address data = 0;
  Element element = Element::kF32;
  std::int64_t leading = 0;  ///< from one column to the next
  std::int64_t stride = 0;   ///< from one matrix of the batch to the next
};

enum class Transpose { kNo, kYes };

/// C = alpha · op(A) · op(B), summed in f32: the arguments of cublasGemmStridedBatchedEx, in
/// BLAS' terms, so that whoever executes them executes the same. op(A) is m x k, op(B) k x n, C
/// m x n; beta is 0, and what C held is not read.
struct Gemm {
  std::string name;  ///< as --profile and errors show it
  Transpose a_op = Transpose::kNo, b_op = Transpose::kNo;
  int m = 0, n = 0, k = 0, batch = 0;
  float alpha = 1;
  GemmMatrix a, b, c;
  Address scratch = 0;            ///< device memory that the product may use
  std::size_t scratch_bytes = 0;  ///< Device::product_scratch_bytes()

  double flop() const { return 2.0 * m * n * k * batch; }
};

}  // namespace flashbench::cuda

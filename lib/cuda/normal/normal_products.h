#pragma once

#include "core/shape.h"
#include "cuda/contract/arguments.h"
#include "cuda/contract/family.h"
#include "cuda/contract/gemm.h"

// The six matrix products of normal attention.
namespace flashbench::cuda {

/// A product of normal attention as one batch over the K/V heads. The query heads of a group lie
/// one after the other, so that a K/V head meets group * q_len rows in one matrix: K and V are read
/// once, and dK and dV are sums over the group without a sum of their own. Columns d .. stride_row
/// are multiplied too: they are zero in what is read, and become zero in what is written.
Gemm gemm_of(Product product, const Attention& a);

/// BLAS counts rows and matrices in 32 bits.
bool gemms_fit(const Shape& s);

}  // namespace flashbench::cuda

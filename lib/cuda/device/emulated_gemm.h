#pragma once

#include "cuda/contract/gemm.h"
#include "ptx/device.h"

namespace flashbench::cuda {

/// Executes a product over emulated memory as BLAS defines it: columns, leading dimensions,
/// transpositions, strides. Sums are f32, in the order of k. Throws DeviceError that names the
/// matrix and the column for what cuBLAS would do wrong without a word, or slowly: memory outside
/// an allocation, elements that nobody wrote, a leading dimension below the column's length,
/// matrices of C that overlap each other or an operand, columns that do not start at multiples of
/// 16 bytes (tensor cores load that much at a time).
void multiply(ptx::Device& device, const Gemm& g);

}  // namespace flashbench::cuda

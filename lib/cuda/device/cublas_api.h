#pragma once

#include <cstddef>
#include <string>

// The part of cuBLAS that this backend calls, declared here and loaded at run time: its libraries
// are 600 MB. The signatures and numbers are those of <cublas_v2.h>, enumerations as int.
namespace flashbench::cuda {

using CublasStatus = int;  // cublasStatus_t

inline constexpr CublasStatus kCublasSuccess = 0, kCublasAllocFailed = 3;
inline constexpr int kCublasNoTranspose = 0, kCublasTranspose = 1;        // cublasOperation_t
inline constexpr int kCublasF32 = 0, kCublasF16 = 2, kCublasBf16 = 14;    // cudaDataType
inline constexpr int kCublasComputeF32 = 68;                              // cublasComputeType_t
inline constexpr int kCublasDefaultAlgorithm = -1;                        // cublasGemmAlgo_t
inline constexpr int kCublasDefaultMath = 0, kCublasFullReductions = 16;  // cublasMath_t

struct CublasApi {
  CublasStatus (*create)(void** handle);
  CublasStatus (*set_math_mode)(void* handle, int mode);
  CublasStatus (*set_workspace)(void* handle, void* workspace, std::size_t bytes);
  CublasStatus (*gemm)(void* handle, int a_op, int b_op, int m, int n, int k, const void* alpha,
                       const void* a, int a_type, int a_leading, long long a_stride, const void* b,
                       int b_type, int b_leading, long long b_stride, const void* beta, void* c,
                       int c_type, int c_leading, long long c_stride, int batch, int compute_type,
                       int algorithm);
  const char* (*status_name)(CublasStatus status);
};

/// Loads libcublas.so.13 or an older one with the same interface, once. On failure returns nullptr
/// and says why in `absent`. Takes seconds where the library is not in the page cache.
const CublasApi* load_cublas(std::string& absent);

}  // namespace flashbench::cuda

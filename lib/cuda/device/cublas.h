#pragma once

#include "cuda/contract/gemm.h"
#include "cuda/device/cublas_api.h"

namespace flashbench::cuda {

/// A handle of cuBLAS on the current context and its default stream, so that products queue with
/// the launches around them. f32 is multiplied as f32 (no TF32), 16-bit types on tensor cores with
/// f32 sums throughout. Results are bitwise equal from run to run: cuBLAS promises that for one
/// handle, one stream and one workspace, and uses no atomics unless it is asked to.
/// Methods throw DeviceError with cuBLAS' name for what went wrong, UnavailableError for lack of
/// memory. Nobody destroys the handle: a device lives until the process ends, when cuBLAS may have
/// been torn down before it. The table is a parameter, so that tests stand in for a library that
/// fails.
class Cublas {
 public:
  explicit Cublas(const CublasApi& api);
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  void multiply(const Gemm& g);

  /// What NVIDIA recommends for Hopper; older devices want less. It is set explicitly, from memory
  /// that the plan counts, so that cuBLAS allocates none behind it.
  static constexpr std::size_t kScratchBytes = std::size_t{32} << 20;

 private:
  void check(CublasStatus status, const std::string& call) const;
  void use_scratch(const Gemm& g);

  const CublasApi& api_;
  void* handle_ = nullptr;
  Address scratch_ = 0;
  std::size_t scratch_bytes_ = 0;
};

}  // namespace flashbench::cuda

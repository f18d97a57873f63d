#include "cuda/device/cublas.h"

#include <fmt/format.h>

#include "core/enumerators.h"
#include "system/error.h"

namespace flashbench::cuda {
namespace {

int type_of(Element e) {
  switch (e) {
    case Element::kF32:
      return kCublasF32;
    case Element::kBf16:
      return kCublasBf16;
    case Element::kF16:
      return kCublasF16;
  }
  no_such_enumerator();
}

int op_of(Transpose t) { return t == Transpose::kNo ? kCublasNoTranspose : kCublasTranspose; }

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

}  // namespace

Cublas::Cublas(const CublasApi& api) : api_(api) {
  check(api_.create(&handle_), "cublasCreate");
  // Partial sums of 16-bit products stay f32 where cuBLAS splits k.
  check(api_.set_math_mode(handle_, kCublasDefaultMath | kCublasFullReductions),
        "cublasSetMathMode");
}

void Cublas::multiply(const Gemm& g) {
  use_scratch(g);
  const float beta = 0;
  check(
      api_.gemm(handle_, op_of(g.a_op), op_of(g.b_op), g.m, g.n, g.k, &g.alpha, pointer(g.a.data),
                type_of(g.a.element), static_cast<int>(g.a.leading), g.a.stride, pointer(g.b.data),
                type_of(g.b.element), static_cast<int>(g.b.leading), g.b.stride, &beta,
                pointer(g.c.data), type_of(g.c.element), static_cast<int>(g.c.leading), g.c.stride,
                g.batch, kCublasComputeF32, kCublasDefaultAlgorithm),
      "cublasGemmStridedBatchedEx of " + g.name);
}

void Cublas::use_scratch(const Gemm& g) {
  if (g.scratch == scratch_ && g.scratch_bytes == scratch_bytes_) return;
  check(api_.set_workspace(handle_, pointer(g.scratch), g.scratch_bytes), "cublasSetWorkspace");
  scratch_ = g.scratch;
  scratch_bytes_ = g.scratch_bytes;
}

void Cublas::check(CublasStatus status, const std::string& call) const {
  if (status == kCublasSuccess) return;
  const char* const name = api_.status_name(status);
  const std::string line = fmt::format("{}: {}", call, name != nullptr ? name : "unknown status");
  if (status == kCublasAllocFailed) throw OutOfMemoryError(line);
  throw DeviceError(line);
}

}  // namespace flashbench::cuda

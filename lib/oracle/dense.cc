#include "oracle/dense.h"

#if defined(__x86_64__)
#define FLASHBENCH_X86 1
#else
#define FLASHBENCH_X86 0
#endif

namespace flashbench::oracle {
namespace {

#define FLASHBENCH_TARGET baseline
#define FLASHBENCH_LANES 2
#include "oracle/dense_target.inc"
#undef FLASHBENCH_TARGET
#undef FLASHBENCH_LANES

#if FLASHBENCH_X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define FLASHBENCH_TARGET avx2
#define FLASHBENCH_LANES 4
#include "oracle/dense_target.inc"
#undef FLASHBENCH_TARGET
#undef FLASHBENCH_LANES
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif
#define FLASHBENCH_TARGET avx512
#define FLASHBENCH_LANES 8
#include "oracle/dense_target.inc"
#undef FLASHBENCH_TARGET
#undef FLASHBENCH_LANES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

using MultiplyAdd = void(std::int64_t, std::int64_t, std::int64_t, const double*, std::int64_t,
                         const double*, std::int64_t, double*, std::int64_t);

MultiplyAdd* widest() {
#if FLASHBENCH_X86
  if (__builtin_cpu_supports("avx512f")) return avx512::multiply_add;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::multiply_add;
#endif
  return baseline::multiply_add;
}

}  // namespace

void multiply_add(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, std::int64_t lda,
                  const double* b, std::int64_t ldb, double* c, std::int64_t ldc) {
  static MultiplyAdd* const chosen = widest();
  chosen(m, n, k, a, lda, b, ldb, c, ldc);
}

}  // namespace flashbench::oracle

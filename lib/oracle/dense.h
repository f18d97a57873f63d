#pragma once

#include <algorithm>
#include <cstdint>

namespace flashbench::oracle {

/// C += A·B in fp64. a: [m, k] rows lda apart; b: [k, n] rows ldb apart; c: [m, n] rows ldc apart.
/// The only product that the oracle has; it runs at the widest vectors of this processor.
void multiply_add(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, std::int64_t lda,
                  const double* b, std::int64_t ldb, double* c, std::int64_t ldc);

/// The same in parts of 24 terms, look() after each: sums of f32 are as far off as they reach on
/// the way, and what drifts along a sequence or along channels goes far and comes back.
template <typename Look>
void multiply_add_in_parts(std::int64_t m, std::int64_t n, std::int64_t k, const double* a,
                           std::int64_t lda, const double* b, std::int64_t ldb, double* c,
                           std::int64_t ldc, Look look) {
  constexpr std::int64_t kTerms = 24;
  for (std::int64_t first = 0; first < k; first += kTerms) {
    multiply_add(m, n, std::min(kTerms, k - first), a + first, lda, b + first * ldb, ldb, c, ldc);
    look();
  }
}

}  // namespace flashbench::oracle

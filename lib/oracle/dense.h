#pragma once

#include <cstdint>

namespace flashbench::oracle {

/// C += A·B in fp64. a: [m, k] rows lda apart; b: [k, n] rows ldb apart; c: [m, n] rows ldc apart.
/// The only product that the oracle has; it runs at the widest vectors of this processor.
void multiply_add(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, std::int64_t lda,
                  const double* b, std::int64_t ldb, double* c, std::int64_t ldc);

}  // namespace flashbench::oracle

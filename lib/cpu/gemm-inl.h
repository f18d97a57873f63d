// The register-tile product, once per Highway target: see tile_ops_simd.cc.
#if defined(FLASHBENCH_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_GEMM_INL_H_
#undef FLASHBENCH_CPU_GEMM_INL_H_
#else
#define FLASHBENCH_CPU_GEMM_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The accumulators fill the register file but for two vectors of B and one broadcast of A:
// 16 registers hold 6 x 2, 32 hold 12 x 2. More rows than vectors, because a broadcast load feeds
// two multiply-adds: 14 loads per 24 of them on AVX-512, 8 per 12 on AVX2.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
inline constexpr int kTileRows = 12;
#else
inline constexpr int kTileRows = 6;
#endif
inline constexpr int kTileVectors = 2;

enum class LayoutA { kRowMajor, kTransposed };

/// C[kRows][kVectors·lanes] (+)= A·B over k. The literal unroll counts exceed the trip counts: the
/// accumulators must all become registers.
template <int kRows, int kVectors, LayoutA kLayout>
HWY_INLINE void multiply_tile(std::int64_t k, const float* HWY_RESTRICT a, std::int64_t stride_a,
                              const float* HWY_RESTRICT b, std::int64_t row_b,
                              float* HWY_RESTRICT c, std::int64_t row_c, Write write) {
  const hn::ScalableTag<float> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
  hn::Vec<decltype(f32)> sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sum[i][v] = write == Write::kAdd ? hn::LoadU(f32, c + i * row_c + v * lanes) : hn::Zero(f32);

  for (std::int64_t p = 0; p < k; ++p) {
    hn::Vec<decltype(f32)> bv[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) bv[v] = hn::LoadU(f32, b + v * lanes);
    b += row_b;
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const auto av =
          hn::Set(f32, kLayout == LayoutA::kRowMajor ? a[i * stride_a + p] : a[p * stride_a + i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::MulAdd(av, bv[v], sum[i][v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[i][v], f32, c + i * row_c + v * lanes);
}

using TileFunction = void (*)(std::int64_t, const float*, std::int64_t, const float*, std::int64_t,
                              float*, std::int64_t, Write);

/// A tile function per number of rows, 1 to kTileRows: the last group of a ragged block takes
/// fewer.
template <int kVectors, LayoutA kLayout, int kRows = kTileRows>
struct TileFunctions {
  static void fill(TileFunction* table) {
    table[kRows] = [](std::int64_t k, const float* a, std::int64_t stride_a, const float* b,
                      std::int64_t row_b, float* c, std::int64_t row_c, Write write) HWY_ATTR {
      multiply_tile<kRows, kVectors, kLayout>(k, a, stride_a, b, row_b, c, row_c, write);
    };
    if constexpr (kRows > 1) TileFunctions<kVectors, kLayout, kRows - 1>::fill(table);
  }
};

/// Indexed [layout][vectors - 1][rows].
struct TileTable {
  TileFunction f[2][kTileVectors][kTileRows + 1] = {};
  TileTable() {
    static_assert(kTileVectors == 2);
    TileFunctions<1, LayoutA::kRowMajor>::fill(f[0][0]);
    TileFunctions<2, LayoutA::kRowMajor>::fill(f[0][1]);
    TileFunctions<1, LayoutA::kTransposed>::fill(f[1][0]);
    TileFunctions<2, LayoutA::kTransposed>::fill(f[1][1]);
  }
};

/// One panel of B stays in L1 while the row groups of A pass by it.
inline void gemm(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b, MatrixC c,
                 Write write) {
  static const TileTable table;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const std::int64_t cols = kTileVectors * lanes;
  const bool transposed = a.row == 1 && a.col != 1;
  const std::int64_t stride_a = transposed ? a.col : a.row;
  for (std::int64_t j = 0; j < n; j += cols) {
    const auto& functions = table.f[transposed][n - j > lanes ? 1 : 0];
    const float* panel = b.data + j / cols * b.panel;
    for (std::int64_t i = 0; i < m; i += kTileRows) {
      const std::int64_t rows = std::min<std::int64_t>(kTileRows, m - i);
      functions[rows](k, a.data + i * a.row, stride_a, panel, b.row, c.data + i * c.row + j, c.row,
                      write);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

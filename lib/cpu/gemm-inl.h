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

/// Register tile of kTileRows rows by kTileVectors vectors of columns.
template <int kTileRows_, int kTileVectors_>
struct TileShape {
  static constexpr int kTileRows = kTileRows_;
  static constexpr int kTileVectors = kTileVectors_;
};

// The accumulators fill the register file but for the vectors of B and one broadcast of A.
// Tall: 12 x 2 of 32 registers, 6 x 2 of 16; a broadcast feeds two multiply-adds: 14 loads per 24
// of them on AVX-512, 8 per 12 on AVX2. Wide: 6 x 4, 10 loads per 24. On Emerald Rapids, d = 64,
// share of the FMA peak of a product from L1: tall .89 to .91, wide .94 to .97. Unrolling k by 4 or
// 8 brought nothing there nor on Zen 3.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
using TallTile = TileShape<12, 2>;
#else
using TallTile = TileShape<6, 2>;
#endif
using WideTile = TileShape<6, 4>;

enum class LayoutA { kRowMajor, kTransposed };

template <int kRows, int kVectors>
using Accumulators = hn::Vec<hn::ScalableTag<float>>[kRows][kVectors];

/// sum[kRows][kVectors·lanes] += A·B over k. The literal unroll counts exceed the trip counts: the
/// accumulators must all become registers.
template <int kRows, int kVectors, LayoutA kLayout>
HWY_INLINE void multiply_tile(std::int64_t k, const float* HWY_RESTRICT a, std::int64_t stride_a,
                              const float* HWY_RESTRICT b, std::int64_t row_b,
                              Accumulators<kRows, kVectors>& sum) {
  const hn::ScalableTag<float> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
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
}

using TileFunction = void (*)(std::int64_t, const float*, std::int64_t, const float*, std::int64_t,
                              float*, std::int64_t, Write);

/// The tile function of every number of rows and vectors up to those of the register tile, for
/// ragged blocks.
template <typename Tile>
struct TileTable {
  TileFunction f[2][Tile::kTileVectors + 1][Tile::kTileRows + 1] = {};  ///< [layout][vectors][rows]

  TileTable() { fill<Tile::kTileRows, Tile::kTileVectors>(); }

 private:
  template <int kRows, int kVectors>
  void fill() {
    f[0][kVectors][kRows] = run<kRows, kVectors, LayoutA::kRowMajor>;
    f[1][kVectors][kRows] = run<kRows, kVectors, LayoutA::kTransposed>;
    if constexpr (kVectors > 1) fill<kRows, kVectors - 1>();
    if constexpr (kVectors == Tile::kTileVectors && kRows > 1) fill<kRows - 1, kVectors>();
  }
  template <int kRows, int kVectors, LayoutA kLayout>
  static HWY_ATTR void run(std::int64_t k, const float* a, std::int64_t stride_a, const float* b,
                           std::int64_t row_b, float* c, std::int64_t row_c, Write write) {
    const hn::ScalableTag<float> f32;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
    Accumulators<kRows, kVectors> sum;
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sum[i][v] =
            write == Write::kAdd ? hn::LoadU(f32, c + i * row_c + v * lanes) : hn::Zero(f32);
    multiply_tile<kRows, kVectors, kLayout>(k, a, stride_a, b, row_b, sum);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[i][v], f32, c + i * row_c + v * lanes);
  }
};

/// One panel of B stays in L1 while the row groups of A pass by it.
template <typename Tile>
inline void gemm(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b, MatrixC c,
                 Write write, Ahead ahead) {
  static const TileTable<Tile> table;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const std::int64_t cols = Tile::kTileVectors * lanes;
  const bool transposed = a.row == 1 && a.col != 1;
  const std::int64_t stride_a = transposed ? a.col : a.row;
  for (std::int64_t j = 0; j < n; j += cols) {
    const auto& functions = table.f[transposed][std::min(cols, n - j + lanes - 1) / lanes];
    const float* panel = b.data + j / cols * b.panel;
    for (std::int64_t i = 0; i < m; i += Tile::kTileRows) {
      const std::int64_t rows = std::min<std::int64_t>(Tile::kTileRows, m - i);
      ahead.fetch();
      functions[rows](k, a.data + i * a.row, stride_a, panel, b.row, c.data + i * c.row + j, c.row,
                      write);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

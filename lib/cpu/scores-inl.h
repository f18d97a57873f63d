// Scores that become probabilities in registers, once per Highway target: see tile_ops_simd.cc.
#if defined(FLASHBENCH_CPU_SCORES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_SCORES_INL_H_
#undef FLASHBENCH_CPU_SCORES_INL_H_
#else
#define FLASHBENCH_CPU_SCORES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "cpu/gemm-inl.h"
#include "cpu/rows-inl.h"
#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// One tile of P and what it adds to the sums of its rows; `masked`: some row does not see all of
/// its columns, which begin with `column`.
template <int kRows, int kVectors, LayoutA kLayout, bool kMasked>
HWY_INLINE void exp2_tile(std::int64_t k, const float* a, std::int64_t stride_a, const float* b,
                          std::int64_t row_b, float* HWY_RESTRICT p, std::int64_t row_p,
                          SoftmaxRows rows, std::int64_t column, std::int64_t n) {
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  Accumulators<kRows, kVectors> s;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) s[i][v] = hn::Zero(f32);
  multiply_tile<kRows, kVectors, kLayout>(k, a, stride_a, b, row_b, s);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const auto max = hn::Set(f32, rows.max[i]);
    auto sum = column == 0 ? hn::Zero(f32) : hn::LoadU(f32, rows.sum + i * lanes);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      auto e = exp2(hn::Sub(s[i][v], max));
      if constexpr (kMasked) {
        const std::int64_t seen = (rows.visible == nullptr ? n : std::min(n, rows.visible[i]));
        const std::int64_t left = std::clamp<std::int64_t>(seen - column - v * lanes, 0, lanes);
        e = hn::IfThenElseZero(hn::FirstN(f32, static_cast<std::size_t>(left)), e);
      }
      hn::StoreU(e, f32, p + i * row_p + v * lanes);
      sum = hn::Add(sum, e);
    }
    hn::StoreU(sum, f32, rows.sum + i * lanes);
  }
}

using Exp2Function = void (*)(std::int64_t, const float*, std::int64_t, const float*, std::int64_t,
                              float*, std::int64_t, SoftmaxRows, std::int64_t, std::int64_t);

/// As TileTable: indexed [masked][vectors][rows].
template <typename Tile>
struct Exp2Table {
  Exp2Function f[2][Tile::kTileVectors + 1][Tile::kTileRows + 1] = {};

  Exp2Table() { fill<Tile::kTileRows, Tile::kTileVectors>(); }

 private:
  template <int kRows, int kVectors>
  void fill() {
    f[0][kVectors][kRows] = run<kRows, kVectors, false>;
    f[1][kVectors][kRows] = run<kRows, kVectors, true>;
    if constexpr (kVectors > 1) fill<kRows, kVectors - 1>();
    if constexpr (kVectors == Tile::kTileVectors && kRows > 1) fill<kRows - 1, kVectors>();
  }
  template <int kRows, int kVectors, bool kMasked>
  static HWY_ATTR void run(std::int64_t k, const float* a, std::int64_t stride_a, const float* b,
                           std::int64_t row_b, float* p, std::int64_t row_p, SoftmaxRows rows,
                           std::int64_t column, std::int64_t n) {
    exp2_tile<kRows, kVectors, LayoutA::kRowMajor, kMasked>(k, a, stride_a, b, row_b, p, row_p,
                                                            rows, column, n);
  }
};

/// The loops of gemm(), the columns of one panel at a time.
template <typename Tile>
inline bool gemm_exp2(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b,
                      MatrixC p, SoftmaxRows rows, Ahead ahead) {
  static const Exp2Table<Tile> table;
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  const std::int64_t cols = Tile::kTileVectors * lanes;
  for (std::int64_t j = 0; j < n; j += cols) {
    const std::int64_t vectors = std::min(cols, n - j + lanes - 1) / lanes;
    const float* panel = b.data + j / cols * b.panel;
    for (std::int64_t i = 0; i < m; i += Tile::kTileRows) {
      const std::int64_t tile_rows = std::min<std::int64_t>(Tile::kTileRows, m - i);
      const SoftmaxRows tile = {rows.max + i, rows.visible == nullptr ? nullptr : rows.visible + i,
                                rows.sum + i * lanes};
      // Rows see prefixes that grow from row to row: the first one sees the least.
      const std::int64_t seen_by_all = tile.visible == nullptr ? n : std::min(n, tile.visible[0]);
      const bool masked = seen_by_all < j + vectors * lanes;
      ahead.fetch();
      table.f[masked][vectors][tile_rows](k, a.data + i * a.row, a.row, panel, b.row,
                                          p.data + i * p.row + j, p.row, tile, j, n);
    }
  }
  const auto limit = hn::Set(f32, kLargestSum);
  auto within = hn::Le(hn::Zero(f32), limit);
  for (std::int64_t i = 0; i < m; ++i)
    within = hn::And(within, hn::Le(hn::LoadU(f32, rows.sum + i * lanes), limit));
  return hn::AllTrue(f32, within);
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

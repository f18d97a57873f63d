// Products that do not end as such: scores become P, dP becomes dS, in registers. Once per Highway
// target: see tile_ops_simd.cc.
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

template <int kRows, int kVectors>
HWY_INLINE void set_zero(Accumulators<kRows, kVectors>& sum) {
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(F32());
}

/// P of a tile of scores, as an operand of P·V, and what it adds to the sums of its rows.
template <typename Operand>
struct Exp2Tile {
  MatrixC p;
  SoftmaxRows rows;
  std::int64_t n;

  template <int kRows, int kVectors>
  HWY_INLINE void begin(Accumulators<kRows, kVectors>& s, std::int64_t, std::int64_t) const {
    set_zero<kRows, kVectors>(s);
  }
  template <int kRows, int kVectors>
  HWY_INLINE void finish(const Accumulators<kRows, kVectors>& s, std::int64_t i,
                         std::int64_t j) const {
    // Rows see prefixes that grow from row to row: the first one sees the least.
    if (seen(i) < j + kVectors * vector_lanes())
      finish_rows<kRows, kVectors, true>(s, i, j);
    else
      finish_rows<kRows, kVectors, false>(s, i, j);
  }

 private:
  std::int64_t seen(std::int64_t row) const {
    return rows.visible == nullptr ? n : std::min(n, rows.visible[row]);
  }
  template <int kRows, int kVectors, bool kMasked>
  HWY_INLINE void finish_rows(const Accumulators<kRows, kVectors>& s, std::int64_t i,
                              std::int64_t j) const {
    const F32 f32;
    const std::int64_t lanes = vector_lanes();
    const auto factor = hn::Set(f32, rows.factor);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto max = hn::Set(f32, rows.max[i + r]);
      float* row = p.data + (i + r) * p.row;
      float* lane_sums = rows.sum + (i + r) * lanes;
      auto sum = j == 0 ? hn::Zero(f32) : hn::LoadU(f32, lane_sums);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        auto e = exp2(hn::MulSub(s[r][v], factor, max));
        if constexpr (kMasked) {
          const std::int64_t left = std::clamp<std::int64_t>(seen(i + r) - j - v * lanes, 0, lanes);
          e = hn::IfThenElseZero(hn::FirstN(f32, static_cast<std::size_t>(left)), e);
        }
        Operand::store(e, row, j + v * lanes);
        sum = hn::Add(sum, e);
      }
      hn::StoreU(sum, f32, lane_sums);
    }
  }
};

/// dS = P∘(dP - D) of a tile of dP; P has the layout of dS.
struct DscoresTile {
  MatrixC ds;
  const float* p;
  const float* delta;

  template <int kRows, int kVectors>
  HWY_INLINE void begin(Accumulators<kRows, kVectors>& dp, std::int64_t, std::int64_t) const {
    set_zero<kRows, kVectors>(dp);
  }
  template <int kRows, int kVectors>
  HWY_INLINE void finish(const Accumulators<kRows, kVectors>& dp, std::int64_t i,
                         std::int64_t j) const {
    const F32 f32;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto minus = hn::Set(f32, delta[i + r]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t at = (i + r) * ds.row + j + v * vector_lanes();
        const auto x = hn::Mul(hn::LoadU(f32, p + at), hn::Sub(dp[r][v], minus));
        hn::StoreU(x, f32, ds.data + at);
      }
    }
  }
};

template <typename Tile>
inline bool gemm_exp2(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b,
                      MatrixC p, SoftmaxRows rows, Ahead ahead) {
  const F32 f32;
  for_each_tile<Tile>(m, n, k, a, b, Exp2Tile<typename Tile::Operand>{p, rows, n}, ahead);
  const auto limit = hn::Set(f32, kLargestSum);
  auto within = hn::Le(hn::Zero(f32), limit);
  for (std::int64_t i = 0; i < m; ++i)
    within = hn::And(within, hn::Le(hn::LoadU(f32, rows.sum + i * vector_lanes()), limit));
  return hn::AllTrue(f32, within);
}

template <typename Tile>
inline void gemm_dscores(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b,
                         MatrixC ds, const float* p, const float* delta) {
  for_each_tile<Tile>(m, n, k, a, b, DscoresTile{ds, p, delta}, {});
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

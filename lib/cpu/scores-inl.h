// Products with an epilogue in registers: scores become P, dP becomes dS, and neither is stored.
// Once per Highway target: see tile_ops-inl.h.
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

/// The product whose A operand a tile of P is stored as: one that sums over its columns (P·V), or
/// over its rows (Pᵀ·dO).
enum class SumOver { kColumns, kRows };

/// The sides on which a tile has columns that not every row sees.
enum class Hidden { kNothing, kAfter, kBeforeAndAfter };

/// Products become scores as `rows` says, in place: x[m][n] of rows from i, columns from j on, n a
/// multiple of the vector; slopes of a cap are stored where that is asked for. Not inlined: it
/// would be unrolled into every register tile. The cap, the same for all rows, goes through the
/// tile as one row: its constants are loaded once.
inline HWY_NOINLINE void change_products(float* x, std::int64_t m, std::int64_t n,
                                         const SoftmaxRows& rows, std::int64_t i, std::int64_t j) {
  const float cap = rows.score.at(i, j).cap;
  if (cap > 0) row_cap(x, m * n, cap);
  for (std::int64_t r = 0; r < m; ++r) {
    if (cap > 0 && rows.slope.data != nullptr)
      row_slope(x + r * n, n, rows.slope.data + (i + r) * rows.slope.row + j);
    row_addends(x + r * n, n, rows.score.at(i + r, j));
  }
}

/// A vector of words of an operand that is summed over rows, all 0.
template <typename Operand>
HWY_INLINE void store_zero_rows(float* words) {
  VecF32 zero[Operand::kRowsPerWord];
  for (VecF32& z : zero) z = hn::Zero(F32());
  Operand::store_rows(zero, words);
}

/// Epilogue: turns a tile of scores into P, stores it as an operand, adds to the sums of its rows.
template <typename Operand, SumOver kSumOver>
struct Exp2Tile {
  MatrixC p;
  SoftmaxRows rows;
  std::int64_t n;

  static std::int64_t longest_chain() { return kLongestChainWords<Operand>; }
  TilePart part(std::int64_t i, std::int64_t count, std::int64_t j, std::int64_t columns,
                std::int64_t k) const {
    return {columns_to_compute(rows.seen, i, count, j, columns, vector_lanes()), 0, k};
  }
  HWY_ATTR void store_zeros(std::int64_t i, std::int64_t count, std::int64_t j,
                            std::int64_t columns) const {
    const std::int64_t lanes = vector_lanes();
    for (std::int64_t r = i; r < i + count; r += kTogether) {
      for (std::int64_t at = j; at < j + columns; at += lanes)
        if constexpr (kSumOver == SumOver::kRows)
          store_zero_rows<Operand>(p.data + r / kTogether * p.row + at);
        else
          Operand::store(hn::Zero(F32()), p.data + r * p.row, at);
    }
    if (j == 0) std::fill(rows.sum + i * lanes, rows.sum + (i + count) * lanes, 0.0f);
  }
  template <int kRows, int kVectors>
  HWY_INLINE void begin(Accumulators<kRows, kVectors>& s, std::int64_t, std::int64_t) const {
    set_zero<kRows, kVectors>(s);
  }
  template <int kRows, int kVectors>
  HWY_INLINE void finish(const Accumulators<kRows, kVectors>& s, std::int64_t i,
                         std::int64_t j) const {
    Accumulators<kRows, kVectors> scores;
    copy<kRows, kVectors>(s, scores);
    if (rows.score.changes()) change<kRows, kVectors>(scores, i, j);
    // Neither end falls from row to row: the first row ends first, the last one begins last.
    if (begin_of(i + kRows - 1) > j)
      finish_rows<kRows, kVectors, Hidden::kBeforeAndAfter>(scores, i, j);
    else if (end(i) < j + kVectors * vector_lanes())
      finish_rows<kRows, kVectors, Hidden::kAfter>(scores, i, j);
    else
      finish_rows<kRows, kVectors, Hidden::kNothing>(scores, i, j);
  }

 private:
  template <int kRows, int kVectors>
  HWY_INLINE static void copy(const Accumulators<kRows, kVectors>& from,
                              Accumulators<kRows, kVectors>& to) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) to[r][v] = from[r][v];
  }
  /// Products become scores.
  template <int kRows, int kVectors>
  HWY_INLINE void change(Accumulators<kRows, kVectors>& s, std::int64_t i, std::int64_t j) const {
    const std::int64_t lanes = vector_lanes();
    float products[kRows * kVectors * HWY_MAX_BYTES / sizeof(float)];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        hn::StoreU(s[r][v], F32(), products + (r * kVectors + v) * lanes);
    change_products(products, kRows, kVectors * lanes, rows, i, j);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        s[r][v] = hn::LoadU(F32(), products + (r * kVectors + v) * lanes);
  }

  static constexpr int kTogether = kSumOver == SumOver::kRows ? Operand::kRowsPerWord : 1;

  std::int64_t end(std::int64_t row) const {
    return rows.seen.end.empty() ? n : std::min(n, rows.seen.end[static_cast<std::size_t>(row)]);
  }
  std::int64_t begin_of(std::int64_t row) const {
    return rows.seen.begin.empty() ? 0 : rows.seen.begin[static_cast<std::size_t>(row)];
  }
  template <int kRows, int kVectors, Hidden kHidden>
  HWY_INLINE void finish_rows(const Accumulators<kRows, kVectors>& s, std::int64_t i,
                              std::int64_t j) const {
    const std::int64_t lanes = vector_lanes();
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r += kTogether) {
      VecF32 max[kTogether], log_sum[kTogether], sum[kTogether];
#pragma GCC unroll 2
      for (int t = 0; t < kTogether; ++t) {
        const bool exists = r + t < kRows;
        max[t] = exists ? hn::Set(F32(), rows.max[i + r + t]) : hn::Zero(F32());
        log_sum[t] = kSumOver == SumOver::kRows && exists && rows.log_sum != nullptr
                         ? hn::Set(F32(), rows.log_sum[i + r + t])
                         : hn::Zero(F32());
        sum[t] =
            exists && j > 0 ? hn::LoadU(F32(), rows.sum + (i + r + t) * lanes) : hn::Zero(F32());
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        VecF32 e[kTogether];
#pragma GCC unroll 2
        for (int t = 0; t < kTogether; ++t) {
          if (r + t < kRows)
            e[t] = probability<kHidden>(s[r + t][v], max[t], log_sum[t], i + r + t, j + v * lanes);
          else
            e[t] = hn::Zero(F32());
          sum[t] = hn::Add(sum[t], e[t]);
        }
        const std::int64_t at = j + v * lanes;
        if constexpr (kSumOver == SumOver::kRows)
          Operand::store_rows(e, p.data + (i + r) / kTogether * p.row + at);
        else
          Operand::store(e[0], p.data + (i + r) * p.row, at);
      }
#pragma GCC unroll 2
      for (int t = 0; t < kTogether; ++t)
        if (r + t < kRows) hn::StoreU(sum[t], F32(), rows.sum + (i + r + t) * lanes);
    }
  }
  /// P of a vector of scores of a row, from column j on.
  template <Hidden kHidden>
  HWY_INLINE VecF32 probability(VecF32 s, VecF32 max, VecF32 log_sum, std::int64_t row,
                                std::int64_t j) const {
    const F32 f32;
    const auto below = hn::Sub(s, max), factor = hn::Set(f32, rows.factor);
    const auto e = exp2(kSumOver == SumOver::kRows ? hn::MulSub(below, factor, log_sum)
                                                   : hn::Mul(below, factor));
    if constexpr (kHidden == Hidden::kNothing) return e;
    const auto first = [&](std::int64_t columns) {
      const std::int64_t count = std::clamp<std::int64_t>(columns - j, 0, vector_lanes());
      return hn::FirstN(f32, static_cast<std::size_t>(count));
    };
    const VecF32 seen = hn::IfThenElseZero(first(end(row)), e);
    if constexpr (kHidden == Hidden::kAfter) return seen;
    return hn::IfThenZeroElse(first(begin_of(row)), seen);
  }
};

/// Epilogue: turns a tile of dP into dS = P∘(dP - D), under a soft cap times its slope, and stores
/// it as both operands of gemm_dscores; where that is asked for, before the slope, too.
template <typename Operand>
struct DscoresTile {
  MatrixC ds, ds_rows;
  const float* p;  ///< laid out like ds_rows
  RowDeltas delta;
  SeenColumns seen;
  DscoresSlope slope;
  bool more = slope.any();  ///< all that is asked of a tile

  static std::int64_t longest_chain() { return kLongestChainWords<Operand>; }
  TilePart part(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t columns,
                std::int64_t k) const {
    return {columns_to_compute(seen, i, rows, j, columns, vector_lanes()), 0, k};
  }
  HWY_ATTR void store_zeros(std::int64_t i, std::int64_t rows, std::int64_t j,
                            std::int64_t columns) const {
    constexpr std::int64_t kTogether = Operand::kRowsPerWord;
    for (std::int64_t at = j; at < j + columns; at += vector_lanes()) {
      for (std::int64_t r = i; r < i + rows; r += kTogether)
        store_zero_rows<Operand>(ds_rows.data + r / kTogether * ds_rows.row + at);
      for (std::int64_t r = i; kTogether > 1 && r < i + rows; ++r)
        Operand::store(hn::Zero(F32()), ds.data + r * ds.row, at);
    }
  }
  template <int kRows, int kVectors>
  HWY_INLINE void begin(Accumulators<kRows, kVectors>& dp, std::int64_t i, std::int64_t) const {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto low = hn::Set(F32(), -delta.low[i + r]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) dp[r][v] = low;
    }
  }
  template <int kRows, int kVectors>
  HWY_INLINE void finish(const Accumulators<kRows, kVectors>& dp, std::int64_t i,
                         std::int64_t j) const {
    constexpr int kTogether = Operand::kRowsPerWord;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r += kTogether)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t column = j + v * vector_lanes();
        const std::int64_t at = (i + r) / kTogether * ds_rows.row + column;
        VecF32 x[kTogether];
        Operand::load_rows(p + at, x);
#pragma GCC unroll 2
        for (int t = 0; t < kTogether; ++t) {
          if (r + t >= kRows) continue;  // its P is 0
          const auto minus = hn::Set(F32(), delta.high[i + r + t]);
          const VecF32 p_of = x[t];
          x[t] = hn::Mul(p_of, hn::Sub(dp[r + t][v], minus));
          if (more) x[t] = keep_and_slope(x[t], p_of, i + r + t, column);
          if constexpr (kTogether > 1) Operand::store(x[t], ds.data + (i + r + t) * ds.row, column);
        }
        Operand::store_rows(x, ds_rows.data + at);
      }
  }

 private:
  /// Keeps x, then multiplies it by the slope: 0 where P is, since the slope of a hidden score may
  /// be NaN, or never have been written.
  HWY_INLINE VecF32 keep_and_slope(VecF32 x, VecF32 p_of, std::int64_t row, std::int64_t j) const {
    const F32 f32;
    const auto& [of_cap, before] = slope;
    if (before.data != nullptr) hn::StoreU(x, f32, before.data + row * before.row + j);
    if (of_cap.data == nullptr) return x;
    const auto factor = hn::LoadU(f32, of_cap.data + row * of_cap.row + j);
    return hn::IfThenZeroElse(hn::Eq(p_of, hn::Zero(f32)), hn::Mul(x, factor));
  }
};

template <typename Tile, SumOver kSumOver>
inline bool gemm_exp2(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b,
                      MatrixC p, SoftmaxRows rows, Prefetch prefetch) {
  using Operand = typename Tile::Operand;
  const F32 f32;
  for_each_tile<Tile>(m, n, k, a, b, Exp2Tile<Operand, kSumOver>{p, rows, n}, prefetch);
  const auto limit = hn::Set(f32, kLargestSum);
  auto within = hn::Le(hn::Zero(f32), limit);
  for (std::int64_t i = 0; i < m; ++i)
    within = hn::And(within, hn::Le(hn::LoadU(f32, rows.sum + i * vector_lanes()), limit));
  if constexpr (kSumOver == SumOver::kColumns)
    for (std::int64_t i = 0; i < m; ++i) Operand::end_row(p.data + i * p.row, n);
  return hn::AllTrue(f32, within);
}

template <typename Tile>
inline void gemm_dscores(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b,
                         MatrixC ds, MatrixC ds_rows, const float* p, RowDeltas delta,
                         SeenColumns seen, DscoresSlope slope) {
  using Operand = typename Tile::Operand;
  for_each_tile<Tile>(m, n, k, a, b, DscoresTile<Operand>{ds, ds_rows, p, delta, seen, slope}, {});
  for (std::int64_t i = 0; i < m; ++i) Operand::end_row(ds.data + i * ds.row, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

// Products with rows of B read in place from a tensor: for decoding, which is bound by reading K
// and V, so that packing them first would double its time. Once per Highway target: see
// tile_ops-inl.h.
#if defined(FLASHBENCH_CPU_ROW_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_ROW_PRODUCTS_INL_H_
#undef FLASHBENCH_CPU_ROW_PRODUCTS_INL_H_
#else
#define FLASHBENCH_CPU_ROW_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "core/shape.h"
#include "cpu/eight_bit_pairs-inl.h"
#include "cpu/row_fetches-inl.h"
#include "cpu/rows-inl.h"
#include "cpu/stored-inl.h"
#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A·Bᵀ: four rows of B at a time, so that four dot products are reduced across lanes together; as
// many rows of A as there are registers for their accumulators.
inline constexpr int kDotCols = 4;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
inline constexpr int kDotRows = 4;
#else
inline constexpr int kDotRows = 2;
#endif

// A·B: the tile of C that is accumulated in registers; kAddVecsOfOneRow where C has one row.
inline constexpr int kAddRows = 4;
inline constexpr int kAddVecs = kDotRows;
inline constexpr int kAddVecsOfOneRow = 8;

/// Of kRows rows of A with row p of B: kVecs vectors are added to the sums. Where T is in pairs,
/// even elements and odd ones take turns.
template <typename Operand, int kRows, int kVecs, typename T>
HWY_INLINE void add_row(const float* HWY_RESTRICT a, std::int64_t row_a, const T* HWY_RESTRICT b,
                        VecF32 (&sum)[kRows][kVecs]) {
  const hn::ScalableTag<float> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
  VecF32 bv[kVecs];
  if constexpr (kByTable<Operand, T> && kVecs % 4 == 0) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; v += 4) load_words(b + v * lanes, bv + v);
  } else if constexpr (kInPairs<T> && kVecs % 2 == 0) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; v += 2) {
      const Pair<T> pair(b + v * lanes);
      bv[v] = pair.even;
      bv[v + 1] = pair.odd;
    }
  } else {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) bv[v] = load_f32(b + v * lanes);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    const auto weight = hn::Set(f32, a[i * row_a]);
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) sum[i][v] = hn::MulAdd(weight, bv[v], sum[i][v]);
  }
}

/// A row of C += the sums that add_row has made.
template <typename Operand, typename T, int kVecs>
HWY_INLINE void add_sums(const VecF32 (&sum)[kVecs], float* HWY_RESTRICT c) {
  const hn::ScalableTag<float> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
  if constexpr (kByTable<Operand, T> && kVecs % 4 == 0) {
    for (int v = 0; v < kVecs; v += 4) add_words(sum + v, c + v * lanes);
  } else if constexpr (kInPairs<T> && kVecs % 2 == 0) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; v += 2) {
      VecF32 even, odd;
      hn::LoadInterleaved2(f32, c + v * lanes, even, odd);
      hn::StoreInterleaved2(hn::Add(in_units<T>(f32, sum[v]), even),
                            hn::Add(in_units<T>(f32, sum[v + 1]), odd), f32, c + v * lanes);
    }
  } else {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      float* at = c + v * lanes;
      hn::StoreU(hn::Add(in_units<T>(f32, sum[v]), hn::LoadU(f32, at)), f32, at);
    }
  }
}

/// Of a product that passes over B strip by strip of its columns, for some rows of C at a time:
/// what a pass asks for ahead, so that no line is asked for by two of them.
struct PassAsks {
  bool own;        ///< the columns of B that it reads
  bool beyond;     ///< what is read after B
  std::int64_t d;  ///< elements of a row
};

/// kVecs vectors of kRows rows of C += A·B; the sums stay in registers for a chain of rows of B.
template <typename Operand, int kRows, int kVecs, typename T, bool kAsks, typename Fetches>
HWY_INLINE void add_rows_tile(std::int64_t n, const float* HWY_RESTRICT a, std::int64_t row_a,
                              const RowSource& b, std::int64_t column, float* HWY_RESTRICT c,
                              std::int64_t row_c, Fetches& fetches, PassAsks asks) {
  for (std::int64_t first = 0; first < n; first += kLongestChain) {
    VecF32 sum[kRows][kVecs];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) sum[i][v] = hn::Zero(F32());
    const std::int64_t end = std::min(n, first + kLongestChain);
    for (std::int64_t j = first; j < end; ++j) {
      fetches.fetch();
      if constexpr (kAsks) {
        const bool beyond = j + Fetches::kAhead >= n;
        const T* ahead = row_ahead<T>(fetches, b, j, n);
        if (beyond && asks.beyond && ahead != nullptr) ask_for(fetches, ahead, asks.d);
        if (!beyond && asks.own) ask_for(fetches, ahead + column, kVecs * vector_lanes());
      }
      add_row<Operand>(a + j, row_a, row_pointer<T>(b, j) + column, sum);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) add_sums<Operand, T>(sum[i], c + i * row_c);
  }
}

/// A strip of B of kVecs vectors from `column` on.
template <typename Operand, int kRows, int kVecs, typename T, typename Fetches>
HWY_INLINE void add_rows_strip(std::int64_t n, const float* a, std::int64_t row_a,
                               const RowSource& b, std::int64_t column, float* c,
                               std::int64_t row_c, Fetches& fetches, PassAsks asks) {
  asks.beyond = asks.beyond && column + kVecs * vector_lanes() >= asks.d;
  // A loop of their own for passes that ask: the others have registers to spare.
  if (Fetches::kAsks && (asks.own || asks.beyond))
    add_rows_tile<Operand, kRows, kVecs, T, Fetches::kAsks>(n, a, row_a, b, column, c + column,
                                                            row_c, fetches, asks);
  else
    add_rows_tile<Operand, kRows, kVecs, T, false>(n, a, row_a, b, column, c + column, row_c,
                                                   fetches, asks);
}

/// kRows rows of C, kVecs vectors at a time, then one.
template <typename Operand, int kRows, int kVecs, typename T, typename Fetches>
HWY_INLINE void add_rows_strips(std::int64_t n, const float* a, std::int64_t row_a,
                                const RowSource& b, float* c, std::int64_t row_c, Fetches& fetches,
                                PassAsks asks) {
  const std::int64_t lanes = vector_lanes();
  std::int64_t p = 0;
  for (; p + kVecs * lanes <= asks.d; p += kVecs * lanes)
    add_rows_strip<Operand, kRows, kVecs, T>(n, a, row_a, b, p, c, row_c, fetches, asks);
  for (; p < asks.d; p += lanes)
    add_rows_strip<Operand, kRows, 1, T>(n, a, row_a, b, p, c, row_c, fetches, asks);
}

template <typename Operand, typename T, typename Fetches>
HWY_NOINLINE void add_rows_fetching(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a,
                                    RowSource b, MatrixC c, const Prefetch& prefetch) {
  Fetches fetches(prefetch);
  if (Fetches::kInOrder) b.position = nullptr;  // which the compiler then knows
  std::int64_t i = 0;
  for (; i + kAddRows <= m; i += kAddRows)
    add_rows_strips<Operand, kAddRows, kAddVecs, T>(n, a.data + i * a.row, a.row, b,
                                                    c.data + i * c.row, c.row, fetches,
                                                    {i == 0, i + kAddRows == m, d});
  for (; i < m; ++i)
    add_rows_strips<Operand, 1, kAddVecsOfOneRow, T>(n, a.data + i * a.row, a.row, b,
                                                     c.data + i * c.row, c.row, fetches,
                                                     {i == 0, i + 1 == m, d});
}

template <typename Operand, typename T>
HWY_INLINE void add_rows_of(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a,
                            const RowSource& b, MatrixC c, Prefetch prefetch) {
  const std::int64_t vectors = blocks(d, vector_lanes());
  const auto strips = [&](int vecs) { return vectors / vecs + vectors % vecs; };
  const std::int64_t steps =
      m / kAddRows * strips(kAddVecs) + m % kAddRows * strips(kAddVecsOfOneRow);
  prefetch.step = blocks(prefetch.step, kDotCols * steps);
  with_fetches(b, prefetch, [&]<typename Fetches>() HWY_ATTR {
    add_rows_fetching<Operand, T, Fetches>(m, n, d, a, b, c, prefetch);
  });
}

template <typename Operand>
inline void add_rows(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a, const RowSource& b,
                     MatrixC c, Prefetch prefetch) {
  with_key_dtype(b.dtype, [&](auto zero) HWY_ATTR {
    add_rows_of<Operand, decltype(zero)>(m, n, d, a, b, c, prefetch);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

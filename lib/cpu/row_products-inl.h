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

template <typename T>
HWY_INLINE const T* row_pointer(const RowSource& b, std::int64_t j) {
  const std::int64_t r = b.position == nullptr ? j : b.position[j];
  return static_cast<const T*>(b.base) + r * b.row_stride;
}

/// Rows [j, j + kCols) of B.
template <typename T, int kCols>
struct RowPointers {
  const T* row[kCols];
  RowPointers(const RowSource& b, std::int64_t j) {
    for (int i = 0; i < kCols; ++i) row[i] = row_pointer<T>(b, j + i);
  }
};

/// So many rows ahead, what a product reads is fetched into L2 once more: of what a Prefetch asks
/// for, a core drops what comes quicker than its memory answers (Zen 4: a third at 9 cycles a line,
/// nothing at 12). 0 where that costs more than it brings: products of 256 bits take longer than
/// memory does. Time in pages of 16 rows, 16 rows ahead, Zen 4: bf16 groups of four .77, single
/// heads .85; 32 ahead, Zen 5: .86, .89, f32 .88, .94, e4m3 on Zen 4 .70, .69. Fewer than 16 come
/// too late, and 64 reach too far beyond a block.
inline constexpr std::int64_t kRowsAhead = HWY_TARGET == HWY_AVX3 ? 32 : 0;

template <typename T>
inline constexpr std::int64_t kLineElements = 64 / static_cast<std::int64_t>(sizeof(T));

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

/// kVecs vectors of kRows rows of C += A·B; the sums stay in registers for a chain of rows of B.
template <typename Operand, int kRows, int kVecs, typename T>
HWY_INLINE void add_rows_tile(std::int64_t n, const float* HWY_RESTRICT a, std::int64_t row_a,
                              const RowSource& b, std::int64_t column, float* HWY_RESTRICT c,
                              std::int64_t row_c, Prefetch& prefetch) {
  for (std::int64_t first = 0; first < n; first += kLongestChain) {
    VecF32 sum[kRows][kVecs];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) sum[i][v] = hn::Zero(F32());
    const std::int64_t end = std::min(n, first + kLongestChain);
    const auto add = [&](std::int64_t j) HWY_ATTR {
      if (kRowsAhead != 0 && !prefetch.close) {
        const T* ahead = row_pointer<T>(b, std::min(j + kRowsAhead, n - 1)) + column;
        for (std::int64_t p = 0; p < kVecs * vector_lanes(); p += kLineElements<T>)
          __builtin_prefetch(ahead + p, 0, 2);
      }
      add_row<Operand>(a + j, row_a, row_pointer<T>(b, j) + column, sum);
    };
    // Apart, since what pages need would take the registers that point to rows of A (1.16 of the
    // time on AVX2 from a cache).
    if (prefetch.position == nullptr)
      for (std::int64_t j = first; j < end; ++j) {
        prefetch.fetch_in_order();
        add(j);
      }
    else
      for (std::int64_t j = first; j < end; ++j) {
        prefetch.fetch_rows();
        add(j);
      }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) add_sums<Operand, T>(sum[i], c + i * row_c);
  }
}

/// kRows rows of C, kVecs vectors at a time, then one.
template <typename Operand, int kRows, int kVecs, typename T>
HWY_INLINE void add_rows_strips(std::int64_t n, std::int64_t d, const float* a, std::int64_t row_a,
                                const RowSource& b, float* c, std::int64_t row_c,
                                Prefetch& prefetch) {
  const std::int64_t lanes = vector_lanes();
  std::int64_t p = 0;
  for (; p + kVecs * lanes <= d; p += kVecs * lanes)
    add_rows_tile<Operand, kRows, kVecs, T>(n, a, row_a, b, p, c + p, row_c, prefetch);
  for (; p < d; p += lanes)
    add_rows_tile<Operand, kRows, 1, T>(n, a, row_a, b, p, c + p, row_c, prefetch);
}

template <typename Operand, typename T>
HWY_INLINE void add_rows_of(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a,
                            const RowSource& b, MatrixC c, Prefetch prefetch) {
  const std::int64_t vectors = blocks(d, vector_lanes());
  const auto strips = [&](int vecs) { return vectors / vecs + vectors % vecs; };
  const std::int64_t steps =
      m / kAddRows * strips(kAddVecs) + m % kAddRows * strips(kAddVecsOfOneRow);
  Prefetch step = prefetch.in_steps(blocks(prefetch.step, kDotCols * steps));
  std::int64_t i = 0;
  for (; i + kAddRows <= m; i += kAddRows)
    add_rows_strips<Operand, kAddRows, kAddVecs, T>(n, d, a.data + i * a.row, a.row, b,
                                                    c.data + i * c.row, c.row, step);
  for (; i < m; ++i)
    add_rows_strips<Operand, 1, kAddVecsOfOneRow, T>(n, d, a.data + i * a.row, a.row, b,
                                                     c.data + i * c.row, c.row, step);
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

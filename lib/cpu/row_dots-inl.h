// A·Bᵀ with rows of B read in place from a tensor: the scores of decoding. Once per Highway target:
// see tile_ops-inl.h.
#if defined(FLASHBENCH_CPU_ROW_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_ROW_DOTS_INL_H_
#undef FLASHBENCH_CPU_ROW_DOTS_INL_H_
#else
#define FLASHBENCH_CPU_ROW_DOTS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/shape.h"
#include "cpu/eight_bit_pairs-inl.h"
#include "cpu/operand-inl.h"
#include "cpu/row_fetches-inl.h"
#include "cpu/row_products-inl.h"
#include "cpu/rows-inl.h"
#include "cpu/stored-inl.h"
#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// How rows of A and B are multiplied, `elements()` a step. In f32, each element of B converted:
template <typename Operand, typename T>
struct DotForm {
  using Sum = T;  ///< in whose units sums are
  static constexpr int kVectors = 1;
  static HWY_INLINE std::int64_t elements() { return vector_lanes(); }
  static HWY_INLINE VecF32 load_a(const float* row, std::int64_t p, int /*vector*/) {
    return hn::LoadU(F32(), row + p);
  }
  static HWY_INLINE void load_b(const T* row, std::int64_t p, std::int64_t /*readable*/,
                                VecF32 (&b)[1]) {
    b[0] = load_f32(row + p);
  }
  static HWY_INLINE VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) {
    return hn::MulAdd(a, b, sum);
  }
};

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_SCALAR
/// Pairs of bf16 as they lie: half of the multiply-adds, and nothing is converted.
template <>
struct DotForm<Bf16Pair, Bf16> : Bf16Pair {
  using Sum = Bf16;
  static constexpr int kVectors = 1;
  static HWY_INLINE std::int64_t elements() { return 2 * vector_lanes(); }
  static HWY_INLINE VecF32 load_a(const float* row, std::int64_t p, int /*vector*/) {
    return hn::LoadU(F32(), row + p / 2);
  }
  static HWY_INLINE void load_b(const Bf16* row, std::int64_t p, std::int64_t readable,
                                VecF32 (&b)[1]) {
    b[0] = p + elements() <= readable ? load_pairs(row + p) : load_half(row + p);
  }
};

/// Elements of 8 bits as such pairs; A in the order of Bf16Words.
template <typename T>
struct EightBitDotForm : Bf16Pair {
  using Sum = Bf16;
#if HWY_TARGET == HWY_AVX3
  static constexpr int kVectors = 2;
  static HWY_INLINE std::int64_t elements() { return 64; }
  static HWY_INLINE VecF32 load_a(const float* row, std::int64_t p, int vector) {
    return hn::LoadU(F32(), row + p / 2 + 16 * vector);
  }
  static HWY_INLINE void load_b(const T* row, std::int64_t p, std::int64_t readable,
                                VecF32 (&b)[2]) {
    const Bf16Words<T> words(row + p, readable - p);
    b[0] = words.lower;
    b[1] = words.upper;
  }
#else
  static constexpr int kVectors = 1;
  static HWY_INLINE std::int64_t elements() { return 2; }
  static HWY_INLINE VecF32 load_a(const float* row, std::int64_t p, int /*vector*/) {
    return hn::LoadU(F32(), row + p / 2);
  }
  static HWY_INLINE void load_b(const T* row, std::int64_t p, std::int64_t readable,
                                VecF32 (&b)[1]) {
    const float second = p + 1 < readable ? to_f32(row[p + 1]) : 0;
    b[0] = pair(hn::Set(F32(), to_f32(row[p])), hn::Set(F32(), second));
  }
#endif
};
template <>
struct DotForm<Bf16Pair, E4m3> : EightBitDotForm<E4m3> {};
template <>
struct DotForm<Bf16Pair, E5m2> : EightBitDotForm<E5m2> {};
#endif

#if HWY_TARGET != HWY_SCALAR
/// Reduces four vectors within their 128-bit blocks: lane j of each block is the sum of the lanes
/// of v[j] in that block.
HWY_INLINE VecF32 block_sums(const VecF32 (&v)[kDotCols]) {
  const hn::ScalableTag<float> f32;
  const hn::Repartition<double, decltype(f32)> f64;
  const auto half = [&](VecF32 a, VecF32 b) HWY_ATTR {
    return hn::Add(hn::InterleaveLower(f32, a, b), hn::InterleaveUpper(f32, a, b));
  };
  const auto ab = hn::BitCast(f64, half(v[0], v[1]));  // per block: a02 b02 a13 b13
  const auto cd = hn::BitCast(f64, half(v[2], v[3]));
  return hn::Add(hn::BitCast(f32, hn::InterleaveLower(f64, ab, cd)),
                 hn::BitCast(f32, hn::InterleaveUpper(f64, ab, cd)));
}
#endif

/// dst[i·row + j] = sum of the lanes of v[i][j], which are in units of kUnit<T>.
template <typename T, int kRows>
HWY_INLINE void store_sums(const VecF32 (&v)[kRows][kDotCols], float* HWY_RESTRICT dst,
                           std::int64_t row) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kDotCols; ++j) dst[i * row + j] = kUnit<T> * hn::GetLane(v[i][j]);
#else
  const hn::ScalableTag<float> f32;
  const hn::FixedTag<float, 4> f32x4;
  HWY_ALIGN float blocks[HWY_MAX_BYTES / sizeof(float)];
#if HWY_TARGET == HWY_AVX3
  if constexpr (kRows == 4) {
    // Four rows are reduced across the four blocks together, too.
    const auto halves = [&](int a, int b) HWY_ATTR {
      const auto x = block_sums(v[a]), y = block_sums(v[b]);
      const auto sum = hn::Add(hn::ConcatLowerLower(f32, y, x), hn::ConcatUpperUpper(f32, y, x));
      return hn::Add(sum, hn::SwapAdjacentBlocks(sum));  // a a b b
    };
    hn::Store(in_units<T>(f32, hn::OddEvenBlocks(halves(1, 3), halves(0, 2))), f32, blocks);
    for (int i = 0; i < kRows; ++i)
      hn::StoreU(hn::Load(f32x4, blocks + 4 * i), f32x4, dst + i * row);
    return;
  }
#endif
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    hn::Store(block_sums(v[i]), f32, blocks);
    auto total = hn::Load(f32x4, blocks);
    for (std::size_t k = 4; k < hn::Lanes(f32); k += 4)
      total = hn::Add(total, hn::Load(f32x4, blocks + k));
    hn::StoreU(in_units<T>(f32x4, total), f32x4, dst + i * row);
  }
#endif
}

/// The same of one column.
template <typename T, int kRows>
HWY_INLINE void store_sums(const VecF32 (&v)[kRows][1], float* HWY_RESTRICT dst, std::int64_t row) {
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
    dst[i * row] = kUnit<T> * hn::GetLane(hn::SumOfLanes(F32(), v[i][0]));
}

/// C[kRows][kCols] = A·Bᵀ; kCols is 4, or 1 for the last rows of B. `ahead`: null, or rows that are
/// to be asked for, where they are not null.
template <typename Operand, int kRows, int kCols, typename T, typename Fetches>
HWY_INLINE void dots_tile(std::int64_t d, const float* HWY_RESTRICT a, std::int64_t row_a,
                          const RowPointers<T, kCols>& b, float* HWY_RESTRICT c, std::int64_t row_c,
                          Fetches& fetches, const RowPointers<T, kCols>* ahead) {
  using Form = DotForm<Operand, T>;
  const F32 f32;
  const std::int64_t chain = kLongestChainWords<Operand> * Form::elements();
  const std::int64_t readable = round_up(d, vector_lanes());
  for (std::int64_t first = 0; first < d; first += chain) {
    VecF32 sum[kRows][kCols];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < kCols; ++j) sum[i][j] = hn::Zero(f32);
    const std::int64_t end = std::min(d, first + chain);
    for (std::int64_t p = first; p < end; p += Form::elements()) {
      fetches.fetch();
      if constexpr (Fetches::kAsks)
        if (ahead != nullptr && p % kLineElements<T> == 0)
          for (const T* row : ahead->row) fetches.ask(row + p);
      VecF32 bv[kCols][Form::kVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kCols; ++j) Form::load_b(b.row[j], p, readable, bv[j]);
#pragma GCC unroll 2
      for (int v = 0; v < Form::kVectors; ++v)
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) {
          const auto av = Form::load_a(a + i * row_a, p, v);
#pragma GCC unroll 4
          for (int j = 0; j < kCols; ++j) sum[i][j] = Form::multiply_add(av, bv[j][v], sum[i][j]);
        }
    }
    if (first == 0) {
      store_sums<typename Form::Sum>(sum, c, row_c);
      continue;
    }
    float more[kRows * kCols];
    store_sums<typename Form::Sum>(sum, more, kCols);
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kCols; ++j) c[i * row_c + j] += more[i * kCols + j];
  }
}

/// The prefetch of a group of rows of B, spread over the steps of its products: as in gemm, a line
/// a step is better than all of them at once.
template <typename Form>
inline Prefetch each_step(Prefetch prefetch, std::int64_t m, std::int64_t d) {
  const std::int64_t tiles = m / kDotRows + m % kDotRows;
  prefetch.step = blocks(prefetch.step, tiles * blocks(d, Form::elements()));
  return prefetch;
}

/// All rows of A with rows [j, j + kCols) of B's n, which stay in L1 meanwhile.
template <typename Operand, int kCols, typename T, typename Fetches>
HWY_INLINE void dots_group(std::int64_t m, std::int64_t n, std::int64_t j, std::int64_t d,
                           MatrixA a, const RowSource& b, MatrixC c, Fetches& fetches) {
  const RowPointers<T, kCols> rows(b, j);
  RowPointers<T, kCols> ahead;
  const RowPointers<T, kCols>* asked = nullptr;
  if constexpr (Fetches::kAsks) {
    for (int i = 0; i < kCols; ++i) ahead.row[i] = row_ahead<T>(fetches, b, j + i, n);
    if (ahead.row[kCols - 1] != nullptr) asked = &ahead;
  }
  std::int64_t i = 0;
  for (; i + kDotRows <= m; i += kDotRows)
    dots_tile<Operand, kDotRows>(d, a.data + i * a.row, a.row, rows, c.data + i * c.row + j, c.row,
                                 fetches, i == 0 ? asked : nullptr);
  for (; i < m; ++i)
    dots_tile<Operand, 1>(d, a.data + i * a.row, a.row, rows, c.data + i * c.row + j, c.row,
                          fetches, i == 0 ? asked : nullptr);
}

// One row of A with rows of B that are read in pairs: by one row alone, what conversions and
// reductions cost is not spread over others.

/// Groups of kDotCols columns that are reduced across lanes together.
inline constexpr int kDotGroups = HWY_MAX_BYTES / sizeof(float) / kDotCols;

/// A row of A in the order in which row_dots reads those of B.
template <typename T>
HWY_INLINE void order_row(std::int64_t d, const float* HWY_RESTRICT a, float* HWY_RESTRICT to) {
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  std::int64_t p = 0;
  for (; p + 2 * lanes <= d; p += 2 * lanes) {
    VecF32 even, odd;
    hn::LoadInterleaved2(f32, a + p, even, odd);
    hn::Store(even, f32, to + p);
    hn::Store(odd, f32, to + p + lanes);
  }
  for (; p < d; p += lanes) hn::Store(hn::LoadU(f32, a + p), f32, to + p);
}

/// sum[j]: lane by lane, products of a row of A, as order_row leaves it, with rows of B.
template <int kCols, typename T, typename Fetches>
HWY_INLINE void row_dots(std::int64_t d, const float* HWY_RESTRICT a,
                         const RowPointers<T, kCols>& b, VecF32 (&sum)[kCols], Fetches& fetches) {
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
#pragma GCC unroll 4
  for (int j = 0; j < kCols; ++j) sum[j] = hn::Zero(f32);
  std::int64_t p = 0;
  for (; p + 2 * lanes <= d; p += 2 * lanes) {
    fetches.fetch();
    const auto even = hn::Load(f32, a + p), odd = hn::Load(f32, a + p + lanes);
#pragma GCC unroll 4
    for (int j = 0; j < kCols; ++j) {
      const Pair<T> pair(b.row[j] + p);
      sum[j] = hn::MulAdd(odd, pair.odd, hn::MulAdd(even, pair.even, sum[j]));
    }
  }
  for (; p < d; p += lanes) {
    fetches.fetch();
    const auto av = hn::Load(f32, a + p);
#pragma GCC unroll 4
    for (int j = 0; j < kCols; ++j) sum[j] = hn::MulAdd(av, load_f32(b.row[j] + p), sum[j]);
  }
}

/// kGroups·kCols columns from j on.
template <int kGroups, int kCols, typename T, typename Fetches>
HWY_INLINE void row_dots_group(std::int64_t d, const float* HWY_RESTRICT a, const RowSource& b,
                               std::int64_t j, float* HWY_RESTRICT c, Fetches& fetches) {
  VecF32 sum[kGroups][kCols];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g)
    row_dots(d, a, RowPointers<T, kCols>(b, j + g * kCols), sum[g], fetches);
  store_sums<T>(sum, c + j, kCols);
}

/// C[1][n] = A·Bᵀ for a d of one chain.
template <typename T>
HWY_INLINE void dots_of_row(std::int64_t n, std::int64_t d, const float* HWY_RESTRICT a,
                            const RowSource& b, float* HWY_RESTRICT c, Prefetch prefetch) {
  HWY_ALIGN float ordered[kMaxHeadDim];
  order_row<T>(d, a, ordered);
  prefetch.step = blocks(prefetch.step, blocks(d, 2 * vector_lanes()));
  with_fetches(b, prefetch, [&]<typename Fetches>() HWY_ATTR {
    Fetches fetches(prefetch);
    std::int64_t j = 0;
    for (; j + kDotGroups * kDotCols <= n; j += kDotGroups * kDotCols)
      row_dots_group<kDotGroups, kDotCols, T>(d, ordered, b, j, c, fetches);
    for (; j + kDotCols <= n; j += kDotCols)
      row_dots_group<1, kDotCols, T>(d, ordered, b, j, c, fetches);
    for (; j < n; ++j) row_dots_group<1, 1, T>(d, ordered, b, j, c, fetches);
  });
}

template <typename Operand, typename T, typename Fetches>
HWY_NOINLINE void dots_fetching(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a,
                                RowSource b, MatrixC c, const Prefetch& prefetch) {
  Fetches fetches(prefetch);
  if (Fetches::kInOrder) b.position = nullptr;  // which the compiler then knows
  std::int64_t j = 0;
  for (; j + kDotCols <= n; j += kDotCols)
    dots_group<Operand, kDotCols, T>(m, n, j, d, a, b, c, fetches);
  for (; j < n; ++j) dots_group<Operand, 1, T>(m, n, j, d, a, b, c, fetches);
}

/// All rows of A with all of B.
template <typename Operand, typename T>
HWY_INLINE void dots_of_rows(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a,
                             const RowSource& b, MatrixC c, Prefetch prefetch) {
  const Prefetch steps = each_step<DotForm<Operand, T>>(prefetch, m, d);
  with_fetches(b, steps, [&]<typename Fetches>() HWY_ATTR {
    dots_fetching<Operand, T, Fetches>(m, n, d, a, b, c, steps);
  });
}

template <typename Operand, typename T>
HWY_INLINE void dots_of(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a,
                        const RowSource& b, MatrixC c, Prefetch prefetch) {
  if constexpr (kByTable<Operand, T>) {
    constexpr std::int64_t kMostRows = 16, kMostWords = kMaxHeadDim / 2;
    HWY_ALIGN float ordered[kMostRows * kMostWords];
    for (std::int64_t i = 0; i < m; i += kMostRows) {
      const std::int64_t rows = std::min(m - i, kMostRows);
      for (std::int64_t r = 0; r < rows; ++r)
        order_pairs(d, a.data + (i + r) * a.row, ordered + r * kMostWords);
      dots_of_rows<Operand, T>(rows, n, d, {ordered, kMostWords, 1}, b, {c.data + i * c.row, c.row},
                               prefetch);
    }
    return;
  }
  if constexpr (kInPairs<T>)
    if (m == 1 && d <= kLongestChain * vector_lanes())
      return dots_of_row<T>(n, d, a.data, b, c.data, prefetch);
  dots_of_rows<Operand, T>(m, n, d, a, b, c, prefetch);
}

/// The A of pairs is multiplied with bf16 and what bf16 holds exactly.
template <typename Operand>
inline void dots(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a, const RowSource& b,
                 MatrixC c, Prefetch prefetch) {
  with_key_dtype(b.dtype, [&](auto zero) HWY_ATTR {
    using T = decltype(zero);
    constexpr bool kExact = std::is_same_v<T, Bf16> || sizeof(T) == 1;
    if constexpr (kPerWord<Operand> == 1 || kExact) dots_of<Operand, T>(m, n, d, a, b, c, prefetch);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

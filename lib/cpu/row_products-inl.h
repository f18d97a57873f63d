// Products with rows of B as they lie in a tensor, once per Highway target: see tile_ops_simd.cc.
#if defined(FLASHBENCH_CPU_ROW_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_ROW_PRODUCTS_INL_H_
#undef FLASHBENCH_CPU_ROW_PRODUCTS_INL_H_
#else
#define FLASHBENCH_CPU_ROW_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <type_traits>

#include "cpu/rows-inl.h"
#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Four rows of B at a time, since four sums share their additions across lanes; as many rows of A
// as the accumulators leave registers for.
inline constexpr int kDotCols = 4;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
inline constexpr int kDotRows = 4;
#else
inline constexpr int kDotRows = 2;
#endif

/// dst[j] = sum of the lanes of v[j].
template <class V>
HWY_INLINE void store_sums(const V (&v)[kDotCols], float* HWY_RESTRICT dst) {
#if HWY_TARGET == HWY_SCALAR
  for (int j = 0; j < kDotCols; ++j) dst[j] = hn::GetLane(v[j]);
#else
  const hn::ScalableTag<float> f32;
  const hn::Repartition<double, decltype(f32)> f64;
  const auto half = [&](V a, V b) HWY_ATTR {
    return hn::Add(hn::InterleaveLower(f32, a, b), hn::InterleaveUpper(f32, a, b));
  };
  const auto ab = hn::BitCast(f64, half(v[0], v[1]));  // per 128 bits: a02 b02 a13 b13
  const auto cd = hn::BitCast(f64, half(v[2], v[3]));
  const auto sums = hn::Add(hn::BitCast(f32, hn::InterleaveLower(f64, ab, cd)),
                            hn::BitCast(f32, hn::InterleaveUpper(f64, ab, cd)));
  HWY_ALIGN float blocks[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(sums, f32, blocks);
  const hn::FixedTag<float, 4> f32x4;
  auto total = hn::Load(f32x4, blocks);
  for (std::size_t i = 4; i < hn::Lanes(f32); i += 4)
    total = hn::Add(total, hn::Load(f32x4, blocks + i));
  hn::StoreU(total, f32x4, dst);
#endif
}

template <typename T>
struct LaneType {
  using type = float;
};
template <>
struct LaneType<Bf16> {
  using type = hwy::bfloat16_t;
};
template <>
struct LaneType<F16> {
  using type = hwy::float16_t;
};

/// A vector of f32 from elements of type T.
template <typename T>
HWY_INLINE hn::Vec<hn::ScalableTag<float>> load_f32(const T* HWY_RESTRICT p) {
  const hn::ScalableTag<float> f32;
  if constexpr (std::is_same_v<T, float>) {
    return hn::LoadU(f32, p);
  } else {
    using Lane = typename LaneType<T>::type;
    const hn::Rebind<Lane, decltype(f32)> narrow;
    return hn::PromoteTo(f32, hn::LoadU(narrow, reinterpret_cast<const Lane*>(p)));
  }
}

/// Rows [j, j + kCols) of B.
template <typename T, int kCols>
struct RowPointers {
  const T* row[kCols];
  RowPointers(const RowSource& b, std::int64_t j) {
    for (int i = 0; i < kCols; ++i) {
      const std::int64_t r = b.position == nullptr ? j + i : b.position[j + i];
      row[i] = static_cast<const T*>(b.base) + r * b.row_stride;
    }
  }
};

/// C[kRows][kCols] = A·Bᵀ; kCols is 4, or 1 for the last rows of B.
template <int kRows, int kCols, typename T>
HWY_INLINE void dots_tile(std::int64_t d, const float* HWY_RESTRICT a, std::int64_t row_a,
                          const RowPointers<T, kCols>& b, float* HWY_RESTRICT c, std::int64_t row_c,
                          Ahead& ahead) {
  const hn::ScalableTag<float> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
  hn::Vec<decltype(f32)> sum[kRows][kCols];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kCols; ++j) sum[i][j] = hn::Zero(f32);
  for (std::int64_t p = 0; p < d; p += lanes) {
    ahead.fetch();
    hn::Vec<decltype(f32)> bv[kCols];
#pragma GCC unroll 4
    for (int j = 0; j < kCols; ++j) bv[j] = load_f32(b.row[j] + p);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const auto av = hn::LoadU(f32, a + i * row_a + p);
#pragma GCC unroll 4
      for (int j = 0; j < kCols; ++j) sum[i][j] = hn::MulAdd(av, bv[j], sum[i][j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    if constexpr (kCols == kDotCols)
      store_sums(sum[i], c + i * row_c);
    else
      c[i * row_c] = hn::GetLane(hn::SumOfLanes(f32, sum[i][0]));
  }
}

/// C[kRows] += A[kRows][kCols]·B[kCols], whole rows of C; A's elements stay in registers.
template <int kRows, int kCols, typename T>
HWY_INLINE void add_rows_tile(std::int64_t d, const float* HWY_RESTRICT a, std::int64_t row_a,
                              const RowPointers<T, kCols>& b, float* HWY_RESTRICT c,
                              std::int64_t row_c, Ahead& ahead) {
  const hn::ScalableTag<float> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
  hn::Vec<decltype(f32)> weight[kRows][kCols];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kCols; ++j) weight[i][j] = hn::Set(f32, a[i * row_a + j]);
  for (std::int64_t p = 0; p < d; p += lanes) {
    ahead.fetch();
    hn::Vec<decltype(f32)> bv[kCols];
#pragma GCC unroll 4
    for (int j = 0; j < kCols; ++j) bv[j] = load_f32(b.row[j] + p);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      auto sum = hn::LoadU(f32, c + i * row_c + p);
#pragma GCC unroll 4
      for (int j = 0; j < kCols; ++j) sum = hn::MulAdd(weight[i][j], bv[j], sum);
      hn::StoreU(sum, f32, c + i * row_c + p);
    }
  }
}

/// What each step of `lanes` elements fetches, where groups of rows of B fetch ahead.step: as with
/// the register tiles of gemm, one line a step is better than all of them at once.
inline Ahead each_step(Ahead ahead, std::int64_t m, std::int64_t d) {
  const std::int64_t tiles = m / kDotRows + m % kDotRows;
  return {ahead.next, blocks(ahead.step, tiles * blocks(d, vector_lanes()))};
}

/// Rows [j, j + kCols) of B, which stay in L1, with all rows of A.
template <int kCols, typename T>
HWY_INLINE void dots_group(std::int64_t m, std::int64_t j, std::int64_t d, MatrixA a,
                           const RowSource& b, MatrixC c, Ahead& ahead) {
  const RowPointers<T, kCols> rows(b, j);
  std::int64_t i = 0;
  for (; i + kDotRows <= m; i += kDotRows)
    dots_tile<kDotRows>(d, a.data + i * a.row, a.row, rows, c.data + i * c.row + j, c.row, ahead);
  for (; i < m; ++i)
    dots_tile<1>(d, a.data + i * a.row, a.row, rows, c.data + i * c.row + j, c.row, ahead);
}

template <int kCols, typename T>
HWY_INLINE void add_rows_group(std::int64_t m, std::int64_t j, std::int64_t d, MatrixA a,
                               const RowSource& b, MatrixC c, Ahead& ahead) {
  const RowPointers<T, kCols> rows(b, j);
  std::int64_t i = 0;
  for (; i + kDotRows <= m; i += kDotRows)
    add_rows_tile<kDotRows>(d, a.data + i * a.row + j, a.row, rows, c.data + i * c.row, c.row,
                            ahead);
  for (; i < m; ++i)
    add_rows_tile<1>(d, a.data + i * a.row + j, a.row, rows, c.data + i * c.row, c.row, ahead);
}

template <typename T>
HWY_INLINE void dots_of(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a,
                        const RowSource& b, MatrixC c, Ahead ahead) {
  Ahead step = each_step(ahead, m, d);
  std::int64_t j = 0;
  for (; j + kDotCols <= n; j += kDotCols) dots_group<kDotCols, T>(m, j, d, a, b, c, step);
  for (; j < n; ++j) dots_group<1, T>(m, j, d, a, b, c, step);
}

template <typename T>
HWY_INLINE void add_rows_of(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a,
                            const RowSource& b, MatrixC c, Ahead ahead) {
  Ahead step = each_step(ahead, m, d);
  std::int64_t j = 0;
  for (; j + kDotCols <= n; j += kDotCols) add_rows_group<kDotCols, T>(m, j, d, a, b, c, step);
  for (; j < n; ++j) add_rows_group<1, T>(m, j, d, a, b, c, step);
}

inline void dots(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a, const RowSource& b,
                 MatrixC c, Ahead ahead) {
  switch (b.dtype) {
    case Dtype::kBf16:
      return dots_of<Bf16>(m, n, d, a, b, c, ahead);
    case Dtype::kF16:
      return dots_of<F16>(m, n, d, a, b, c, ahead);
    case Dtype::kF32:
      return dots_of<float>(m, n, d, a, b, c, ahead);
  }
}

inline void add_rows(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a, const RowSource& b,
                     MatrixC c, Ahead ahead) {
  switch (b.dtype) {
    case Dtype::kBf16:
      return add_rows_of<Bf16>(m, n, d, a, b, c, ahead);
    case Dtype::kF16:
      return add_rows_of<F16>(m, n, d, a, b, c, ahead);
    case Dtype::kF32:
      return add_rows_of<float>(m, n, d, a, b, c, ahead);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

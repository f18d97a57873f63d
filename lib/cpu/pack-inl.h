// Packing of tensor rows into operands of products, once per Highway target: see tile_ops-inl.h.
#if defined(FLASHBENCH_CPU_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_PACK_INL_H_
#undef FLASHBENCH_CPU_PACK_INL_H_
#else
#define FLASHBENCH_CPU_PACK_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/shape.h"
#include "cpu/gemm-inl.h"
#include "cpu/stored-inl.h"
#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename Tile>
inline std::int64_t panel_cols() {
  return Tile::kTileVectors * static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
}

template <typename T>
HWY_INLINE const T* zero_row() {
  static const T zeros[kMaxHeadDim] = {};
  return zeros;
}

template <typename T>
HWY_INLINE const T* source_row(const RowSource& src, std::int64_t r) {
  const std::int64_t row = src.position == nullptr ? r : src.position[r];
  if (row < 0) return zero_row<T>();
  return static_cast<const T*>(src.base) + row * src.row_stride;
}

/// A row of a panel as it lies: whole vectors, without the call that a copy of unknown length is.
template <typename Tile>
HWY_INLINE void copy_panel_row(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst) {
  const F32 f32;
#pragma GCC unroll 4
  for (std::int64_t v = 0; v < Tile::kTileVectors; ++v)
    hn::StoreU(hn::LoadU(f32, src + v * vector_lanes()), f32, dst + v * vector_lanes());
}

/// dst[i·kStride] = scale·src[i].
template <std::int64_t kStride = 1, typename T, typename Element>
HWY_INLINE void convert_row(const T* HWY_RESTRICT src, std::int64_t n, float scale,
                            Element* HWY_RESTRICT dst) {
  if constexpr (kStride == 1 && std::is_same_v<T, Element>)
    if (scale == 1.0f) {
      std::memcpy(dst, src, static_cast<std::size_t>(n) * sizeof(T));
      return;
    }
  for (std::int64_t i = 0; i < n; ++i) dst[i * kStride] = from_f32<Element>(to_f32(src[i]) * scale);
}

/// Interleaves two rows: word i is (low[i], high[i]).
HWY_INLINE void pair_rows(const Bf16* HWY_RESTRICT low, const Bf16* HWY_RESTRICT high,
                          std::int64_t n, Bf16* HWY_RESTRICT dst) {
  auto* words = reinterpret_cast<std::uint32_t*>(dst);
  for (std::int64_t i = 0; i < n; ++i)
    words[i] = low[i].bits | static_cast<std::uint32_t>(high[i].bits) << 16;
}

template <typename Operand, typename T>
HWY_INLINE void pack_rows_of(const RowSource& src, std::int64_t rows, std::int64_t d, float scale,
                             float* dst, std::int64_t ld) {
  using Element = typename Operand::Element;
  const std::int64_t padded = round_up(d, vector_lanes() * kPerWord<Operand>);
  for (std::int64_t r = 0; r < rows; ++r) {
    auto* row = reinterpret_cast<Element*>(dst + r * ld);
    convert_row(source_row<T>(src, r), d, scale, row);
    std::fill(row + d, row + padded, Element{});
  }
}

template <typename Tile, typename T>
HWY_INLINE void pack_panels_of(const RowSource& src, std::int64_t rows, std::int64_t d, float* dst,
                               std::int64_t first, std::int64_t total) {
  using Element = typename Tile::Operand::Element;
  constexpr std::int64_t kPer = kPerWord<typename Tile::Operand>;
  const std::int64_t cols = panel_cols<Tile>();
  for (std::int64_t r = 0; r < rows; r += kPer) {
    for (std::int64_t c = 0; c < d; c += cols) {
      auto* out =
          reinterpret_cast<Element*>(dst + c * blocks(total, kPer) + (first + r) / kPer * cols);
      const std::int64_t n = std::min(cols, d - c);
      const auto row = [&](std::int64_t e) HWY_ATTR {
        return (r + e < rows ? source_row<T>(src, r + e) : zero_row<T>()) + c;
      };
      if constexpr (kPer == 1 && std::is_same_v<T, Element>)
        if (n == cols) {
          copy_panel_row<Tile>(row(0), out);
          continue;
        }
      if constexpr (kPer == 2 && std::is_same_v<T, Element>)
        pair_rows(row(0), row(1), n, out);
      else
        for (std::int64_t e = 0; e < kPer; ++e) convert_row<kPer>(row(e), n, 1.0f, out + e);
      std::fill(out + n * kPer, out + cols * kPer, Element{});
    }
  }
}

#if HWY_TARGET != HWY_SCALAR
/// A vector of kLanes whose n-th 128-bit block holds the four words at `from` in row 4n.
template <int kLanes>
HWY_INLINE hn::Vec<hn::FixedTag<float, kLanes>> load_blocks(const float* from, std::int64_t row) {
  const hn::FixedTag<float, kLanes> some;
  if constexpr (kLanes == 4)
    return hn::LoadU(some, from);
  else
    return hn::Combine(some, load_blocks<kLanes / 2>(from + kLanes / 2 * row, row),
                       load_blocks<kLanes / 2>(from, row));
}
#endif

/// Transposes four words k of as many rows i as a vector has lanes:
/// to[k·to_row + i] = from[i·from_row + k].
HWY_INLINE void transpose_four(const float* HWY_RESTRICT from,
                               [[maybe_unused]] std::int64_t from_row, float* HWY_RESTRICT to,
                               std::int64_t to_row) {
  const F32 f32;
#if HWY_TARGET == HWY_SCALAR
  for (std::int64_t k = 0; k < 4; ++k) hn::StoreU(hn::LoadU(f32, from + k), f32, to + k * to_row);
#else
  const hn::Repartition<std::uint64_t, F32> pairs;
  // Blocks of four lanes: block n of vector i holds row 4n + i.
  const auto rows = [&](std::int64_t i) HWY_ATTR {
    return load_blocks<static_cast<int>(HWY_MAX_BYTES / sizeof(float))>(from + i * from_row,
                                                                        from_row);
  };
  const auto r0 = rows(0), r1 = rows(1), r2 = rows(2), r3 = rows(3);
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(f32, r0, r1));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(f32, r2, r3));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(f32, r0, r1));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(f32, r2, r3));
  hn::StoreU(hn::BitCast(f32, hn::InterleaveLower(pairs, low01, low23)), f32, to);
  hn::StoreU(hn::BitCast(f32, hn::InterleaveUpper(pairs, low01, low23)), f32, to + to_row);
  hn::StoreU(hn::BitCast(f32, hn::InterleaveLower(pairs, high01, high23)), f32, to + 2 * to_row);
  hn::StoreU(hn::BitCast(f32, hn::InterleaveUpper(pairs, high01, high23)), f32, to + 3 * to_row);
#endif
}

/// As transpose_four, `count` words.
HWY_INLINE void transpose_words(const float* HWY_RESTRICT from, std::int64_t from_row,
                                std::int64_t count, float* HWY_RESTRICT to, std::int64_t to_row) {
  std::int64_t w = 0;
  for (; w + 4 <= count; w += 4) transpose_four(from + w, from_row, to + w * to_row, to_row);
  for (; w < count; ++w)
    for (std::int64_t i = 0; i < vector_lanes(); ++i)
      std::memcpy(to + w * to_row + i, from + i * from_row + w, sizeof(float));
}

/// As many rows at a time as a vector has lanes: kWords words of each are converted into a buffer
/// in L1 and transposed from there. Rows that are words already, not so long that they share sets
/// of L1, are transposed where they lie.
template <typename Tile, typename T>
HWY_INLINE void pack_panels_transposed_of(const RowSource& src, std::int64_t rows, std::int64_t d,
                                          float scale, float* dst) {
  using Element = typename Tile::Operand::Element;
  constexpr std::int64_t kPer = kPerWord<typename Tile::Operand>, kWords = 64, kLongest = 256;
  const std::int64_t cols = panel_cols<Tile>(), lanes = vector_lanes(), words = blocks(d, kPer);
  HWY_ALIGN float some[HWY_MAX_BYTES / sizeof(float) * kWords];
  for (std::int64_t first = 0; first < round_up(rows, cols); first += lanes) {
    float* out = dst + first / cols * cols * words + first % cols;
    if constexpr (std::is_same_v<T, float> && kPer == 1)
      if (scale == 1.0f && src.position == nullptr && src.row_stride <= kLongest &&
          first + lanes <= rows) {
        transpose_words(source_row<T>(src, first), src.row_stride, d, out, cols);
        continue;
      }
    for (std::int64_t k = 0; k < words; k += kWords) {
      const std::int64_t elements = std::min(kWords * kPer, d - k * kPer);
      for (std::int64_t i = 0; i < lanes; ++i) {
        auto* row = reinterpret_cast<Element*>(some + i * kWords);
        const T* from = first + i < rows ? source_row<T>(src, first + i) : zero_row<T>();
        convert_row(from + k * kPer, elements, scale, row);
        std::fill(row + elements, row + round_up(elements, kPer), Element{});
      }
      const std::int64_t count = std::min(kWords, words - k);
      transpose_words(some, kWords, count, out + k * cols, cols);
    }
  }
}

template <typename Operand>
inline void pack_rows(const RowSource& src, std::int64_t rows, std::int64_t d, float scale,
                      float* dst, std::int64_t ld) {
  with_key_dtype(src.dtype, [&](auto zero) HWY_ATTR {
    pack_rows_of<Operand, decltype(zero)>(src, rows, d, scale, dst, ld);
  });
}

template <typename Tile>
inline void pack_panels(const RowSource& src, std::int64_t rows, std::int64_t d, float* dst,
                        std::int64_t first, std::int64_t total) {
  with_key_dtype(src.dtype, [&](auto zero) HWY_ATTR {
    pack_panels_of<Tile, decltype(zero)>(src, rows, d, dst, first, total);
  });
}

template <typename Tile>
inline void pack_panels_transposed(const RowSource& src, std::int64_t rows, std::int64_t d,
                                   float scale, float* dst) {
  with_key_dtype(src.dtype, [&](auto zero) HWY_ATTR {
    pack_panels_transposed_of<Tile, decltype(zero)>(src, rows, d, scale, dst);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

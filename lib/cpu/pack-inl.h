// Packing of tensor rows into operands of products, once per Highway target: see tile_ops_simd.cc.
#if defined(FLASHBENCH_CPU_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_PACK_INL_H_
#undef FLASHBENCH_CPU_PACK_INL_H_
#else
#define FLASHBENCH_CPU_PACK_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "core/shape.h"
#include "cpu/gemm-inl.h"
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

/// dst[i·kStride] = scale·src[i].
template <std::int64_t kStride = 1, typename T, typename Element>
HWY_INLINE void convert_row(const T* HWY_RESTRICT src, std::int64_t n, float scale,
                            Element* HWY_RESTRICT dst) {
  for (std::int64_t i = 0; i < n; ++i) dst[i * kStride] = from_f32<Element>(to_f32(src[i]) * scale);
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
      for (std::int64_t e = 0; e < kPer; ++e)
        convert_row<kPer>((r + e < rows ? source_row<T>(src, r + e) : zero_row<T>()) + c, n, 1.0f,
                          out + e);
      std::fill(out + n * kPer, out + cols * kPer, Element{});
    }
  }
}

template <typename Tile, typename T>
HWY_INLINE void pack_panels_transposed_of(const RowSource& src, std::int64_t rows, std::int64_t d,
                                          float scale, float* dst) {
  const std::int64_t cols = panel_cols<Tile>();
  const std::int64_t words = blocks(d, kPerWord<typename Tile::Operand>);
  typename Tile::Operand::Element row[kMaxHeadDim + 1] = {};  // one more: the end of the last word
  float word[kMaxHeadDim];
  for (std::int64_t first = 0; first < rows; first += cols) {
    float* panel = dst + first * words;
    for (std::int64_t j = 0; j < cols; ++j) {
      if (first + j < rows) {
        convert_row(source_row<T>(src, first + j), d, scale, row);
        std::memcpy(word, row, static_cast<std::size_t>(words) * sizeof(float));
        for (std::int64_t k = 0; k < words; ++k) panel[k * cols + j] = word[k];
      } else {
        for (std::int64_t k = 0; k < words; ++k) panel[k * cols + j] = 0.0f;
      }
    }
  }
}

template <typename Operand>
inline void pack_rows(const RowSource& src, std::int64_t rows, std::int64_t d, float scale,
                      float* dst, std::int64_t ld) {
  switch (src.dtype) {
    case Dtype::kBf16:
      return pack_rows_of<Operand, Bf16>(src, rows, d, scale, dst, ld);
    case Dtype::kF16:
      return pack_rows_of<Operand, F16>(src, rows, d, scale, dst, ld);
    case Dtype::kF32:
      return pack_rows_of<Operand, float>(src, rows, d, scale, dst, ld);
  }
}

template <typename Tile>
inline void pack_panels(const RowSource& src, std::int64_t rows, std::int64_t d, float* dst,
                        std::int64_t first, std::int64_t total) {
  switch (src.dtype) {
    case Dtype::kBf16:
      return pack_panels_of<Tile, Bf16>(src, rows, d, dst, first, total);
    case Dtype::kF16:
      return pack_panels_of<Tile, F16>(src, rows, d, dst, first, total);
    case Dtype::kF32:
      return pack_panels_of<Tile, float>(src, rows, d, dst, first, total);
  }
}

template <typename Tile>
inline void pack_panels_transposed(const RowSource& src, std::int64_t rows, std::int64_t d,
                                   float scale, float* dst) {
  switch (src.dtype) {
    case Dtype::kBf16:
      return pack_panels_transposed_of<Tile, Bf16>(src, rows, d, scale, dst);
    case Dtype::kF16:
      return pack_panels_transposed_of<Tile, F16>(src, rows, d, scale, dst);
    case Dtype::kF32:
      return pack_panels_transposed_of<Tile, float>(src, rows, d, scale, dst);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

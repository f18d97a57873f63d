// Packing of tensor rows into f32 tiles, once per Highway target: see tile_ops_simd.cc.
#if defined(FLASHBENCH_CPU_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_PACK_INL_H_
#undef FLASHBENCH_CPU_PACK_INL_H_
#else
#define FLASHBENCH_CPU_PACK_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

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
HWY_INLINE const T* source_row(const RowSource& src, std::int64_t r) {
  static const T zeros[kMaxHeadDim] = {};
  const std::int64_t row = src.position == nullptr ? r : src.position[r];
  if (row < 0) return zeros;
  return static_cast<const T*>(src.base) + row * src.row_stride;
}

template <typename T>
HWY_INLINE void convert_row(const T* HWY_RESTRICT src, std::int64_t n, float scale,
                            float* HWY_RESTRICT dst) {
  for (std::int64_t i = 0; i < n; ++i) dst[i] = to_f32(src[i]) * scale;
}

template <typename T>
HWY_INLINE void pack_rows_of(const RowSource& src, std::int64_t rows, std::int64_t d, float scale,
                             float* dst, std::int64_t ld) {
  const std::int64_t padded =
      round_up(d, static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>())));
  for (std::int64_t r = 0; r < rows; ++r) {
    convert_row(source_row<T>(src, r), d, scale, dst + r * ld);
    std::fill(dst + r * ld + d, dst + r * ld + padded, 0.0f);
  }
}

template <typename Tile, typename T>
HWY_INLINE void pack_panels_of(const RowSource& src, std::int64_t rows, std::int64_t d, float* dst,
                               std::int64_t first, std::int64_t total) {
  const std::int64_t cols = panel_cols<Tile>();
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* row = source_row<T>(src, r);
    for (std::int64_t c = 0; c < d; c += cols) {
      float* out = dst + c * total + (first + r) * cols;
      const std::int64_t n = std::min(cols, d - c);
      convert_row(row + c, n, 1.0f, out);
      std::fill(out + n, out + cols, 0.0f);
    }
  }
}

template <typename Tile, typename T>
HWY_INLINE void pack_panels_transposed_of(const RowSource& src, std::int64_t rows, std::int64_t d,
                                          float scale, float* dst) {
  const std::int64_t cols = panel_cols<Tile>();
  float row[kMaxHeadDim];
  for (std::int64_t first = 0; first < rows; first += cols) {
    float* panel = dst + first * d;
    for (std::int64_t j = 0; j < cols; ++j) {
      if (first + j < rows) {
        convert_row(source_row<T>(src, first + j), d, scale, row);
        for (std::int64_t k = 0; k < d; ++k) panel[k * cols + j] = row[k];
      } else {
        for (std::int64_t k = 0; k < d; ++k) panel[k * cols + j] = 0.0f;
      }
    }
  }
}

inline void pack_rows(const RowSource& src, std::int64_t rows, std::int64_t d, float scale,
                      float* dst, std::int64_t ld) {
  switch (src.dtype) {
    case Dtype::kBf16:
      return pack_rows_of<Bf16>(src, rows, d, scale, dst, ld);
    case Dtype::kF16:
      return pack_rows_of<F16>(src, rows, d, scale, dst, ld);
    case Dtype::kF32:
      return pack_rows_of<float>(src, rows, d, scale, dst, ld);
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

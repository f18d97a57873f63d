#pragma once

#include <cstddef>
#include <cstdint>

/// Tiles of simt_f32: constexpr code without a CUDA include, so that the host launches with the
/// numbers that the kernels were compiled with.
namespace flashbench::cuda::simt {

inline constexpr int kDeltaThreads = 256;     ///< of a block of `delta`
inline constexpr int kOwnRows = 8;            ///< of a thread, in every product
inline constexpr int kRowWarps = 4;           ///< warps below one another, 16 rows each
inline constexpr int kRows = 16 * kRowWarps;  ///< of a block: queries, or keys of dK and dV
inline constexpr int kFactorDepth = 16;       ///< of the head dimension in a slice of factors
inline constexpr int kFactorStride = kFactorDepth + 4;  ///< floats: eight rows meet all 32 banks
inline constexpr int kValueFloats = 2048;               ///< of a slice of values

/// How a block's threads share a tile of scores, [kRows][columns()], and the sums, [kRows][width],
/// that its weights are multiplied into.
struct TileShape {
  int column_warps;  ///< warps beside one another
  int own_columns;   ///< of the scores, a thread: 8 rows times 8 or 4
  int quads;         ///< of values, a thread and slice: four neighbouring columns each
  int width;         ///< of the sums: what a block computes of the head dimension, a part of it
  int sums;          ///< tiles of sums: 2 of dK and dV

  constexpr int threads() const { return 32 * kRowWarps * column_warps; }
  constexpr int columns() const { return 16 * own_columns * column_warps; }
  /// Columns of a slice of values, and its rows.
  constexpr int value_width() const { return 64 * column_warps * quads; }
  constexpr int value_rows() const { return kValueFloats / value_width(); }
  /// How many blocks share a tile's sums of d columns, in a kernel compiled for `padded` of them:
  /// each has columns to compute.
  constexpr int parts(int padded, int d) const {
    return padded <= width ? 1 : (d + width - 1) / width;
  }
  /// Columns of a tile's sums that are computed: whole slices of values.
  constexpr int computed_columns(int d) const {
    return (d + value_width() - 1) / value_width() * value_width();
  }
  /// Four neighbouring sums of a thread, in all.
  constexpr int own_quads() const { return width / (64 * column_warps); }

  /// Steps of four that stand side by side in a product's loop: more operands on their way, where
  /// there are registers for them.
  constexpr int unroll() const { return 4 * own_quads() * sums + own_columns <= 12 ? 2 : 1; }

  /// Floats of one of two places for slices: of factors, or of values.
  constexpr int stage() const {
    const int factors = (kRows + columns()) * kFactorStride;
    return factors > kValueFloats ? factors : kValueFloats;
  }
  /// Floats of the weights of the 16 rows of a row of warps. Odd rows lie 16 banks off.
  constexpr int weights_of_warp() const { return 2 * (kOwnRows * columns() + 16); }
  constexpr std::size_t shared_bytes() const {
    const int floats = 2 * stage() + kRowWarps * weights_of_warp();
    const int rows_of_keys = 2 * columns();
    const int exchange = column_warps > 1 ? column_warps * kRows : 0;
    return sizeof(float) * static_cast<std::size_t>(floats + rows_of_keys + exchange);
  }
};

/// What is multiplied of the head dimension for a score: whole slices of factors.
constexpr int computed_depth(int d) { return (d + kFactorDepth - 1) / kFactorDepth * kFactorDepth; }

/// The head dimension that the entry points are compiled for: the least one that holds d.
constexpr int padded_d(std::int64_t d) {
  return d <= 64 ? 64 : d <= 128 ? 128 : d <= 256 ? 256 : d <= 512 ? 512 : 1024;
}

/// Of the forward and of dQ, whose rows are queries. Beyond 512 the sums are computed in two parts,
/// by two blocks that make the same scores.
constexpr TileShape query_shape(int padded) {
  return padded == 64    ? TileShape{1, 8, 1, 64, 1}
         : padded == 128 ? TileShape{1, 8, 2, 128, 1}
         : padded == 256 ? TileShape{2, 4, 1, 256, 1}
                         : TileShape{2, 4, 1, 512, 1};
}
/// Of dK and dV, whose rows are keys: twice the sums. Beyond 256 they are computed in parts of 256.
constexpr TileShape key_shape(int padded) {
  return padded == 64    ? TileShape{1, 8, 1, 64, 2}
         : padded == 128 ? TileShape{1, 4, 1, 128, 2}
                         : TileShape{2, 4, 1, 256, 2};
}

}  // namespace flashbench::cuda::simt

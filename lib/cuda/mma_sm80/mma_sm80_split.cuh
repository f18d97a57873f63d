#pragma once

#include "cuda/fragments/tile.cuh"
#include "cuda/mma_sm80/mma_sm80_layout.h"

/// What the kernels beyond d = 256 have in common. The sums of 16 rows are more than one warp can
/// hold, so that several warps have the same rows, each with a part of the columns of d. Scores are
/// sums over d: each warp makes a partial one, and they meet in shared memory.
namespace flashbench::cuda::mma_sm80 {

using namespace fragments;

/// The scores of a warp's rows in one tile.
using SplitScores = Fragments<1, 16>;

/// Where the operands lie, and the warp's part in it. A tile is stored as parts: all its rows'
/// first kOwn columns, then the next ones. A part is loaded by the warps that own it.
template <int kD, TileShape kTile>
struct Split {
  static constexpr int kOwn = kD / kTile.parts, kRows = kTile.rows(), kColumns = kTile.columns;
  static constexpr int kUnits = 1;  ///< of 16 bits, of an element
  static constexpr int kPartThreads = kTile.threads() / kTile.parts;
  static constexpr auto kPart = static_cast<std::uint32_t>(tile_bytes(kOwn, kColumns));
  static constexpr auto kTileBytes = static_cast<std::uint32_t>(tile_bytes(kD, kColumns));
  static_assert(kColumns == 16 && kTile.row_tiles == 1);
  std::uint32_t base;

  /// A stage of the first and of the second tensor that is streamed.
  __device__ std::uint32_t first(int stage) const { return base + 2 * stage * kTileBytes; }
  __device__ std::uint32_t second(int stage) const { return first(stage) + kTileBytes; }
  __device__ std::uint32_t partials() const { return base + 4 * kTileBytes; }
  __device__ std::uint32_t behind() const { return partials() + kTile.warps * kPartialBytes; }

  __device__ int part() const { return warp() / kTile.row_warps(); }
  /// The warp's first row in the CTA's block.
  __device__ int row() const { return warp() % kTile.row_warps() * kMatrixRows; }
  /// That row less the one that fragments::warp_row() tells, for functions that add the latter.
  __device__ int shift() const { return row() - warp_row<1>(); }

  /// The warp's own columns.
  __device__ HeadRows own_columns(HeadRows rows) const {
    rows.data += part() * kOwn;
    rows.d -= part() * kOwn;
    return rows;
  }

  /// Requests the warp's part of kCount rows, from `from_row` on.
  template <int kCount>
  __device__ __forceinline__ void load(std::uint32_t tile, const HeadRows& from,
                                       int from_row) const {
    constexpr auto kBytes = static_cast<std::uint32_t>(tile_bytes(kOwn, kCount));
    load_tile<kOwn, kCount, kPartThreads>(tile + part() * kBytes, own_columns(from), from_row,
                                          thread() % kPartThreads);
  }

  /// Writes the warp's sums of its rows, each times a factor, to its columns of `to`. They pass
  /// through the place of the stages, which nobody reads any more.
  template <typename T>
  __device__ __forceinline__ void store(const float (&sums)[kOwn / 8][4], const float (&factor)[2],
                                        const HeadRows& to, int first_row) const {
    store_rows<T, kOwn>(sums, factor,
                        base + part() * static_cast<std::uint32_t>(tile_bytes(kOwn, kRows)), row(),
                        own_columns(to), first_row);
  }
};

/// kParts parts of 16 rows, as A fragments.
template <int kOwn, int kParts>
using KeptRows = std::uint32_t[kParts * kOwn / 16][4];

/// Reads them from a block whose parts have kRows rows: rows `row` and on, from part `tile` on.
template <int kOwn, int kParts, int kRows>
__device__ __forceinline__ void keep_rows(KeptRows<kOwn, kParts>& kept, std::uint32_t tile,
                                          int row) {
  const std::uint32_t at = chunk_at<kOwn>(tile, row + lane() % 16, lane() / 16);
#pragma unroll
  for (int part = 0; part < kParts; ++part)
#pragma unroll
    for (int k = 0; k < kOwn / 16; ++k)
      load_matrices(
          kept[part * (kOwn / 16) + k],
          advanced(kOwn, at, 2 * k) + part * static_cast<std::uint32_t>(tile_bytes(kOwn, kRows)));
}

/// s += A·Bᵀ over the parts of d that the warp keeps; 16 rows of B, from part `tile` on.
template <typename T, int kOwn, int kParts>
__device__ __forceinline__ void multiply_kept(SplitScores& s, const KeptRows<kOwn, kParts>& kept,
                                              std::uint32_t tile) {
  const int l = lane();
  const std::uint32_t at = chunk_at<kOwn>(tile, l % 8 + l / 16 * 8, l / 8 % 2);
#pragma unroll
  for (int part = 0; part < kParts; ++part)
#pragma unroll
    for (int k = 0; k < kOwn / 16; ++k) {
      const auto& a = kept[part * (kOwn / 16) + k];
      std::uint32_t b[4];
      load_matrices(b, advanced(kOwn, at, 2 * k) + part * kMatrixRowBytes<kOwn>);
      multiply_add<T>(s[0][0], a, b[0], b[1]);
      multiply_add<T>(s[0][1], a, b[2], b[3]);
    }
}

/// Hands this warp's partial scores to the others.
__device__ __forceinline__ void write_partial(std::uint32_t partials, const SplitScores& s) {
  const std::uint32_t at =
      partials + warp() * static_cast<std::uint32_t>(kPartialBytes) + lane() * 16;
#pragma unroll
  for (int n = 0; n < 2; ++n)
    store_shared(at + 512 * n, {__float_as_uint(s[0][n][0]), __float_as_uint(s[0][n][1]),
                                __float_as_uint(s[0][n][2]), __float_as_uint(s[0][n][3])});
}

/// The scores of 16 rows: what two warps have of them. All who ask add in the same order, so that
/// they go on with the same bits.
__device__ __forceinline__ void sum_of_partials(SplitScores& s, std::uint32_t partials, int warp_a,
                                                int warp_b) {
  constexpr auto kBytes = static_cast<std::uint32_t>(kPartialBytes);
  const std::uint32_t at = partials + lane() * 16;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    const uint4 x = load_shared_16(at + warp_a * kBytes + 512 * n);
    const uint4 y = load_shared_16(at + warp_b * kBytes + 512 * n);
    s[0][n][0] = __uint_as_float(x.x) + __uint_as_float(y.x);
    s[0][n][1] = __uint_as_float(x.y) + __uint_as_float(y.y);
    s[0][n][2] = __uint_as_float(x.z) + __uint_as_float(y.z);
    s[0][n][3] = __uint_as_float(x.w) + __uint_as_float(y.w);
  }
}

}  // namespace flashbench::cuda::mma_sm80

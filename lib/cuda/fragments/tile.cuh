#pragma once

#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/rows.cuh"

/// Tiles of 16-bit rows in shared memory: filled by the whole CTA, multiplied and stored by warps.
namespace flashbench::cuda::fragments {

/// What 16 rows of a tile take; within them the swizzle repeats.
template <int kD>
inline constexpr std::uint32_t kMatrixRowBytes = kMatrixRows * 2 * kD;

/// Address of a chunk of 16 bytes in a tile of rows of kD elements.
template <int kD>
__device__ __forceinline__ std::uint32_t chunk_at(std::uint32_t tile, int row, int chunk) {
  return tile + swizzled(kD, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(chunk));
}

/// Requests rows first .. first + kRows. Zeros stand beyond the last row and beyond column d, so
/// that no product needs to know either; a chunk that d ends in brings the zeros that pad the row.
/// A thread copies the same chunks of every n-th row, n a multiple of 8: all its places in the tile
/// are one address plus constants. `by` is the thread's number among the kThreads that do this.
template <int kD, int kRows, int kThreads>
__device__ __forceinline__ void load_tile(std::uint32_t tile, const HeadRows& from, int first,
                                          unsigned by = thread()) {
  constexpr int kGroup = swizzle_group(kD), kRowStep = kThreads / kGroup;
  static_assert(kRowStep % 8 == 0);
  const int thread_row = static_cast<int>(by / kGroup);
  const int thread_chunk = static_cast<int>(by % kGroup);
  const std::uint32_t to = chunk_at<kD>(tile, thread_row, thread_chunk);
  constexpr int kSteps = (kRows + kRowStep - 1) / kRowStep;
  int row[kSteps];
#pragma unroll
  for (int r = 0; r < kSteps; ++r) row[r] = min(first + thread_row + r * kRowStep, from.count - 1);
  if (from.position != nullptr) {
#pragma unroll
    for (int r = 0; r < kSteps; ++r) row[r] = from.position[row[r]];
  }
#pragma unroll
  for (int r = 0; r < kSteps; ++r) {
    if (kRows % kRowStep != 0 && thread_row + r * kRowStep >= kRows) break;
    const Bits* data = from.data + from.stride * row[r] + thread_chunk * kChunk;
#pragma unroll
    for (int c = 0; c < kD / kChunk; c += kGroup) {
      const bool valid =
          first + thread_row + r * kRowStep < from.count && (thread_chunk + c) * kChunk < from.d;
      copy_16_async(to + static_cast<std::uint32_t>(2 * kD * kRowStep * r + 16 * c),
                    valid ? data + c * kChunk : from.data, valid);
    }
  }
}

/// s += A·Bᵀ: the warp's rows of tile `a` times kColumns rows of tile `b`. Both are row-major,
/// which is how A and a transposed B want to be read.
template <typename T, int kD, int kRowTiles, int kColumns>
__device__ __forceinline__ void multiply_by_transposed(Fragments<kRowTiles, kColumns>& s,
                                                       std::uint32_t a, std::uint32_t b) {
  const int l = lane();
  const std::uint32_t a_lane = chunk_at<kD>(a, warp_row<kRowTiles>() + l % 16, l / 16);
  const std::uint32_t b_lane = chunk_at<kD>(b, l % 8 + l / 16 * 8, l / 8 % 2);
#pragma unroll
  for (int k = 0; k < kD / 16; ++k) {
    std::uint32_t a_fragment[kRowTiles][4];
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
      load_matrices(a_fragment[t], advanced(kD, a_lane, 2 * k) + kMatrixRowBytes<kD> * t);
#pragma unroll
    for (int n = 0; n < kColumns / 16; ++n) {
      std::uint32_t b_fragment[4];  // columns 0-7: [0], [1]; columns 8-15: [2], [3]
      load_matrices(b_fragment, advanced(kD, b_lane, 2 * k) + kMatrixRowBytes<kD> * n);
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t) {
        multiply_add<T>(s[t][2 * n], a_fragment[t], b_fragment[0], b_fragment[1]);
        multiply_add<T>(s[t][2 * n + 1], a_fragment[t], b_fragment[2], b_fragment[3]);
      }
    }
  }
}

/// acc += P·B: P, rounded to T, comes from this warp's own accumulators; tile `b` has kInner rows
/// and is read transposed, because the sum runs over its rows.
template <typename T, int kD, int kRowTiles, int kInner>
__device__ __forceinline__ void multiply_from_registers(Fragments<kRowTiles, kD>& acc,
                                                        const Fragments<kRowTiles, kInner>& p,
                                                        std::uint32_t b) {
  const int l = lane();
  const std::uint32_t b_lane = chunk_at<kD>(b, l % 16, l / 16);
#pragma unroll
  for (int k = 0; k < kInner / 16; ++k) {
    std::uint32_t a_fragment[kRowTiles][4];
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* c = p[t][2 * k + i / 2];
        a_fragment[t][i] = pack<T>(c[i % 2 * 2], c[i % 2 * 2 + 1]);
      }
#pragma unroll
    for (int n = 0; n < kD / 16; ++n) {
      std::uint32_t b_fragment[4];
      load_matrices_transposed(b_fragment, advanced(kD, b_lane, 2 * n) + kMatrixRowBytes<kD> * k);
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t) {
        multiply_add<T>(acc[t][2 * n], a_fragment[t], b_fragment[0], b_fragment[1]);
        multiply_add<T>(acc[t][2 * n + 1], a_fragment[t], b_fragment[2], b_fragment[3]);
      }
    }
  }
}

/// Rounds 16 rows of accumulators, times one factor per half of them, and writes them to rows
/// first + tile_row .. of `to`. They pass through rows tile_row .. of a tile, which this warp
/// alone has read, so that global memory is written 16 bytes at a time.
template <typename T, int kD>
__device__ __forceinline__ void store_rows(const float (&acc)[kD / 8][4], const float (&factor)[2],
                                           std::uint32_t tile, int tile_row, const HeadRows& to,
                                           int first) {
  __syncwarp();  // all lanes have read the old content
#pragma unroll
  for (int n = 0; n < kD / 8; ++n)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      store_shared(chunk_at<kD>(tile, tile_row + fragment_row(half), n) +
                       static_cast<std::uint32_t>(fragment_column() * 2),
                   pack<T>(acc[n][2 * half] * factor[half], acc[n][2 * half + 1] * factor[half]));
  __syncwarp();
  constexpr int kChunks = kD / kChunk;
#pragma unroll
  for (int i = lane(); i < kMatrixRows * kChunks; i += 32) {
    const int row = tile_row + i / kChunks, chunk = i % kChunks;
    if (first + row < to.count && chunk * kChunk < to.d)
      *reinterpret_cast<uint4*>(to.row(first + row) + chunk * kChunk) =
          load_shared_16(chunk_at<kD>(tile, row, chunk));
  }
}

}  // namespace flashbench::cuda::fragments

#pragma once

#include "cuda/contract/arguments.h"
#include "cuda/decode_sm80/decode_sm80_layout.h"
#include "cuda/decode_sm80/decode_sm80_shares.cuh"
#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/rows.cuh"

/// The query rows of a K/V head: all queries of its group's first head, then those of the second.
namespace flashbench::cuda::decode_sm80 {

/// Row `row` of Q or O of a K/V head's group.
__device__ __forceinline__ Bits* query_row(const Attention& a, const Rows& rows, int b, int h_kv,
                                           int row) {
  return query_rows(a, rows, b, h_kv * a.group + row / a.q_len).row(row % a.q_len);
}

/// The queries of a block as A fragments: zeros where there is none. softmax(scale·QKᵀ) =
/// softmax(|scale|·(sign·Q)Kᵀ): the running maximum wants a positive factor, so that a negative
/// scale flips signs here, and zero makes zeros. Both are exact.
///
/// Each warp brings some fragments to shared memory. From there they go to registers, or to each
/// product, where O leaves no registers for them.
template <Tile kTile>
struct Queries {
  static constexpr int kSteps = kTile.d / 16;  ///< fragments of a row tile
  static constexpr bool kInRegisters =
      kTile.blocks == Blocks::kOne ? kTile.d <= 192 : kTile.row_tiles == 2 && kTile.d <= 64;
  std::uint32_t shared;  ///< [row tiles][kSteps][32 lanes] fragments
  std::uint32_t registers[kTile.row_tiles][kInRegisters ? kSteps : 1][4];

  __device__ __forceinline__ explicit Queries(std::uint32_t shared) : shared(shared) {}

  /// All warps of the CTA call it, when nobody reads the last block's any more, and leave it when
  /// all are there: what they gave each other at the end of the last block is free again.
  __device__ __forceinline__ void load(const Attention& a, int b, int h_kv, int first_row) {
#pragma unroll 1
    for (int t = 0; t < kTile.row_tiles; ++t) load_tile(a, b, h_kv, first_row, t);
    __syncthreads();
    if constexpr (kInRegisters)
#pragma unroll
      for (int t = 0; t < kTile.row_tiles; ++t)
#pragma unroll
        for (int k = 0; k < kSteps; ++k) read(registers[t][k], t, k);
  }

  __device__ __forceinline__ void take(std::uint32_t (&fragment)[4], int t, int k) const {
    if constexpr (kInRegisters)
#pragma unroll
      for (int i = 0; i < 4; ++i) fragment[i] = registers[t][k][i];
    else
      read(fragment, t, k);
  }

 private:
  __device__ __forceinline__ void load_tile(const Attention& a, int b, int h_kv, int first_row,
                                            int t) {
    const Bits* rows[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + kRows * t + fragment_row(half);
      const bool present = row < rows_of_head(a) && a.scale != 0.0f;
      rows[half] = present ? query_row(a, a.q, b, h_kv, row) : nullptr;
    }
    const std::uint32_t flip = a.scale < 0.0f ? 0x80008000u : 0u;
    for (int k = warp(); k < kSteps; k += static_cast<int>(blockDim.x / 32)) {
      std::uint32_t words[4] = {};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = 16 * k + 8 * (i / 2) + fragment_column();
        if (rows[i % 2] != nullptr && column < a.d)
          words[i] = *reinterpret_cast<const std::uint32_t*>(rows[i % 2] + column) ^ flip;
      }
      store_shared(at(t, k), words);
    }
  }
  __device__ __forceinline__ std::uint32_t at(int t, int k) const {
    return shared + static_cast<std::uint32_t>(16 * (32 * (kSteps * t + k) + lane()));
  }
  __device__ __forceinline__ void read(std::uint32_t (&fragment)[4], int t, int k) const {
    const uint4 v = load_shared_16(at(t, k));
    fragment[0] = v.x;
    fragment[1] = v.y;
    fragment[2] = v.z;
    fragment[3] = v.w;
  }
};

/// Which steps of a block need a mask: those that some row does not see whole.
template <Tile kTile>
struct SeenByAll {
  KeyRange seen;  ///< by all rows of the block

  __device__ __forceinline__ SeenByAll(const Attention& a, const Place<kTile>& block) {
    const QueryRange queries = queries_of<kTile>(a, block.block);
    seen = {0, keys(a, block.b, queries.first).end};
    if constexpr (kTile.blocks == Blocks::kMany) seen.begin = keys(a, block.b, queries.last).begin;
  }
  __device__ __forceinline__ bool needs_mask(const Attention& a, int first_key) const {
    if (first_key + ring(kTile).keys > seen.end) return true;
    return kTile.blocks == Blocks::kOne ? rows_begin_later(a) : first_key < seen.begin;
  }
};

/// Hides what a query does not see of a step's keys, from `first_key` on.
template <Tile kTile>
__device__ __forceinline__ void hide_keys(Fragments<kTile.row_tiles, ring(kTile).keys>& s,
                                          const Attention& a, int b, int first_row, int first_key) {
#pragma unroll
  for (int t = 0; t < kTile.row_tiles; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = (first_row + kRows * t + fragment_row(half)) % a.q_len;
      const KeyRange seen = keys(a, b, query);
      const int column = first_key + fragment_column();
      const int begin = seen.begin - column, end = seen.end - column;
#pragma unroll
      for (int n = 0; n < ring(kTile).keys / 8; ++n)
#pragma unroll
        for (int c = 0; c < 2; ++c)
          if (8 * n + c < begin || 8 * n + c >= end) s[t][n][2 * half + c] = -kInf;
    }
}

}  // namespace flashbench::cuda::decode_sm80

#pragma once

#include "cuda/contract/arguments.h"
#include "cuda/decode_sm80/decode_sm80_layout.h"
#include "cuda/decode_sm80/decode_sm80_shares.cuh"
#include "cuda/fragments/accumulators.cuh"
#include "cuda/fragments/rows.cuh"

/// The query rows of a K/V head: all queries of its group's first head, then those of the second.
namespace flashbench::cuda::decode_sm80 {

/// Query rows that meet a K/V head; at most kRows.
__device__ __forceinline__ int rows_of_head(const Attention& a) { return a.group * a.q_len; }

/// Row `row` of Q or O of a K/V head's group.
__device__ __forceinline__ Bits* query_row(const Attention& a, const Rows& rows, int b, int h_kv,
                                           int row) {
  return query_rows(a, rows, b, h_kv * a.group + row / a.q_len).row(row % a.q_len);
}

/// The queries of a tile as A fragments: zeros where there is none. softmax(scale·QKᵀ) =
/// softmax(|scale|·(sign·Q)Kᵀ): the running maximum wants a positive factor, so that a negative
/// scale flips signs here, and zero makes zeros. Both are exact.
///
/// Each warp brings some fragments to shared memory. From there they go to registers, or to each
/// product, where O leaves no registers for them.
template <int kD>
struct Queries {
  static constexpr bool kInRegisters = kD <= 192;
  std::uint32_t shared;  ///< [kD / 16][32 lanes] fragments
  std::uint32_t registers[kInRegisters ? kD / 16 : 1][4];

  __device__ __forceinline__ explicit Queries(std::uint32_t shared) : shared(shared) {}

  /// All warps of the CTA call it, when nobody reads the last head's any more, and leave it when
  /// all are there: what they gave each other at the end of the last head is free again.
  __device__ __forceinline__ void load(const Attention& a, int b, int h_kv) {
    const Bits* rows[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = fragment_row(half);
      const bool present = row < rows_of_head(a) && a.scale != 0.0f;
      rows[half] = present ? query_row(a, a.q, b, h_kv, row) : nullptr;
    }
    const std::uint32_t flip = a.scale < 0.0f ? 0x80008000u : 0u;
    for (int k = warp(); k < kD / 16; k += static_cast<int>(blockDim.x / 32)) {
      std::uint32_t words[4] = {};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = 16 * k + 8 * (i / 2) + fragment_column();
        if (rows[i % 2] != nullptr && column < a.d)
          words[i] = *reinterpret_cast<const std::uint32_t*>(rows[i % 2] + column) ^ flip;
      }
      store_shared(at(k), words);
    }
    __syncthreads();
    if constexpr (kInRegisters)
#pragma unroll
      for (int k = 0; k < kD / 16; ++k) read(registers[k], k);
  }

  __device__ __forceinline__ void take(std::uint32_t (&fragment)[4], int k) const {
    if constexpr (kInRegisters)
#pragma unroll
      for (int i = 0; i < 4; ++i) fragment[i] = registers[k][i];
    else
      read(fragment, k);
  }

 private:
  __device__ __forceinline__ std::uint32_t at(int k) const {
    return shared + static_cast<std::uint32_t>(16 * (32 * k + lane()));
  }
  __device__ __forceinline__ void read(std::uint32_t (&fragment)[4], int k) const {
    const uint4 v = load_shared_16(at(k));
    fragment[0] = v.x;
    fragment[1] = v.y;
    fragment[2] = v.z;
    fragment[3] = v.w;
  }
};

/// Hides what a query does not see of kKeys keys from `first_key` on.
template <int kKeys>
__device__ __forceinline__ void hide_keys(Fragments<1, kKeys>& s, const Attention& a, int b,
                                          int first_key) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const KeyRange seen = keys(a, b, fragment_row(half) % a.q_len);
    const int column = first_key + fragment_column();
    const int begin = seen.begin - column, end = seen.end - column;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (int c = 0; c < 2; ++c)
        if (8 * n + c < begin || 8 * n + c >= end) s[0][n][2 * half + c] = -kInf;
  }
}

}  // namespace flashbench::cuda::decode_sm80

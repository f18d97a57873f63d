#pragma once

#include "cuda/contract/arguments.h"
#include "cuda/fragments/simt_vectors.cuh"
#include "cuda/simt_f32/simt_f32_layout.h"

// What the simt_f32 kernels share: a block of 256 threads, a tile of rows against 64 columns.
//
// Thread (ty, tx) of a 16 x 16 block owns rows ty * kRows/16 + i of the tile. Of the scores it owns
// columns tx + 16 c, so that sixteen neighbouring lanes hold a row; of the sums over columns
// it owns four neighbouring elements of every 64 of the head dimension.
//
// Per float4 of depth a thread reads kRows/16 + 4 vectors from shared memory for 4 * 4 * kRows/16
// multiply-adds: 8 reads for 64 of them at 64 rows, which keeps the FMA pipes ahead of shared
// memory.
namespace flashbench::cuda::simt {

/// One head of a [batch, head, row, dim] tensor.
struct Head {
  const void* data;
  std::int64_t stride_row;  ///< elements; what lies at or beyond it is absent
  Element element;
};

__device__ inline int element_bytes(Element element) {
  switch (element) {
    case Element::kF32:
      return sizeof(float);
    case Element::kBf16:
      return sizeof(Bf16);
    case Element::kF16:
      return sizeof(F16);
  }
  return 0;
}

__device__ inline Head head_of(const Rows& rows, Element element, int b, int h) {
  const std::int64_t offset = b * rows.stride_b + h * rows.stride_h;
  const std::int64_t size = element_bytes(element);
  return {static_cast<const char*>(rows.data) + offset * size, rows.stride_row, element};
}

/// Calls f with a value of the element type.
template <typename F>
__device__ inline void with_element(Element element, F&& f) {
  switch (element) {
    case Element::kF32:
      return f(float{});
    case Element::kBf16:
      return f(Bf16{});
    case Element::kF16:
      return f(F16{});
  }
}

/// Stages columns [first, first + kCount) of kRows rows as f32. `row_of(r)` is the row of the
/// tensor that becomes row r of the tile, or -1: absent rows and columns become zero.
template <int kRows, int kCount, typename RowOf>
__device__ inline void stage(float (&tile)[kRows][kCount + kPad], const Head& head, int first,
                             RowOf row_of) {
  constexpr int kVectors = kCount / 4;
  with_element(head.element, [&](auto zero) {
    using T = decltype(zero);
    const int column = static_cast<int>(threadIdx.x) % kVectors * 4;
    const T* const from = static_cast<const T*>(head.data) + first + column;
    const bool present = first + column < head.stride_row;
#pragma unroll 2
    for (int r = static_cast<int>(threadIdx.x) / kVectors; r < kRows; r += kThreads / kVectors) {
      const int row = row_of(r);
      float4 value = make_float4(0, 0, 0, 0);
      if (row >= 0 && present)
        value = widen(*reinterpret_cast<const Four<T>*>(from + row * head.stride_row));
      *reinterpret_cast<float4*>(&tile[r][column]) = value;
    }
  });
}

/// This thread's place in the 16 x 16 threads of a block, and the rows and columns that it owns.
template <int kRows>
struct Lanes {
  static constexpr int kOwnRows = kRows / 16;
  int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16;

  __device__ int row(int i) const { return ty * kOwnRows + i; }
  __device__ int column(int c) const { return tx + 16 * c; }
};

/// A thread's part of a [kRows][kColumns] tile of scores.
template <int kRows>
using Scores = float[kRows / 16][4];

/// A thread's part of a [kRows][kPaddedD] sum: four neighbours out of every kWidth.
template <int kRows, int kPaddedD>
using Sums = float4[kPaddedD / kWidth][kRows / 16];

__device__ inline void add_scaled(float4& sum, float weight, float4 v) {
  sum.x = fmaf(weight, v.x, sum.x);
  sum.y = fmaf(weight, v.y, sum.y);
  sum.z = fmaf(weight, v.z, sum.z);
  sum.w = fmaf(weight, v.w, sum.w);
}

__device__ inline float4 scaled(float4 v, float factor) {
  return make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor);
}

/// scores = A · Bᵀ over the whole head dimension, kDepth of it at a time. Begins with a barrier:
/// what was staged before may still be read.
template <int kRows, typename RowOfA, typename RowOfB>
__device__ inline void multiply(Scores<kRows>& scores, Shared<kRows>& shared, const Head& a,
                                RowOfA row_of_a, const Head& b, RowOfB row_of_b, int d) {
  const Lanes<kRows> lane;
  for (auto& row : scores)
    for (float& s : row) s = 0;
  for (int first = 0; first < d; first += kDepth) {
    __syncthreads();
    stage<kRows, kDepth>(shared.factors.rows, a, first, row_of_a);
    stage<kColumns, kDepth>(shared.factors.columns, b, first, row_of_b);
    __syncthreads();
#pragma unroll 1
    for (int k = 0; k < kDepth; k += 4) {
      float4 left[kRows / 16], right[4];
      for (int i = 0; i < kRows / 16; ++i)
        left[i] = *reinterpret_cast<float4*>(&shared.factors.rows[lane.row(i)][k]);
      for (int c = 0; c < 4; ++c)
        right[c] = *reinterpret_cast<float4*>(&shared.factors.columns[lane.column(c)][k]);
      for (int i = 0; i < kRows / 16; ++i)
        for (int c = 0; c < 4; ++c) scores[i][c] = dot(left[i], right[c], scores[i][c]);
    }
  }
}

/// Writes this thread's part of a tile of weights to shared memory. The barrier that add_weighted
/// begins with makes all of it visible to the block.
template <int kRows>
__device__ inline void store_weights(Shared<kRows>& shared, const Scores<kRows>& weights) {
  const Lanes<kRows> lane;
  for (int i = 0; i < kRows / 16; ++i)
    for (int c = 0; c < 4; ++c) shared.weights[lane.row(i)][lane.column(c)] = weights[i][c];
}

/// sums += weights · values, kWidth columns of the values at a time.
template <int kRows, int kPaddedD, typename RowOf>
__device__ inline void add_weighted(Sums<kRows, kPaddedD>& sums, Shared<kRows>& shared,
                                    const Head& values, RowOf row_of, int d) {
  const Lanes<kRows> lane;
#pragma unroll
  for (int w = 0; w < kPaddedD / kWidth; ++w) {
    int first = w * kWidth;
    asm("" : "+r"(first));  // keeps ptxas from holding the addresses of every slice at once
    if (first >= d) return;
    __syncthreads();
    stage<kColumns, kWidth>(shared.values, values, first, row_of);
    __syncthreads();
#pragma unroll 1
    for (int n = 0; n < kColumns; n += 4) {
      float4 value[4];
      for (int k = 0; k < 4; ++k)
        value[k] = *reinterpret_cast<float4*>(&shared.values[n + k][lane.tx * 4]);
#pragma unroll
      for (int i = 0; i < kRows / 16; ++i) {
        const float4 weight = *reinterpret_cast<float4*>(&shared.weights[lane.row(i)][n]);
        add_scaled(sums[w][i], weight.x, value[0]);
        add_scaled(sums[w][i], weight.y, value[1]);
        add_scaled(sums[w][i], weight.z, value[2]);
        add_scaled(sums[w][i], weight.w, value[3]);
      }
    }
  }
}

/// The maximum, or the sum, over the 16 lanes that share a row.
__device__ inline float row_max(float x) {
  for (int lane = 1; lane < 16; lane *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lane));
  return x;
}
__device__ inline float row_sum(float x) {
  for (int lane = 1; lane < 16; lane *= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
  return x;
}

/// Multiplies this thread's part of row i of the tile by `factor`.
template <int kRows, int kPaddedD>
__device__ inline void rescale(Sums<kRows, kPaddedD>& sums, int i, float factor) {
#pragma unroll
  for (int w = 0; w < kPaddedD / kWidth; ++w) sums[w][i] = scaled(sums[w][i], factor);
}

/// Writes this thread's part of the sums, row i times factor(i), rounded to the element type.
/// `row_of(r)` is the row of the tensor for row r of the tile, or -1.
template <int kRows, int kPaddedD, typename RowOf, typename Factor>
__device__ inline void store(const Sums<kRows, kPaddedD>& sums, const Head& to, RowOf row_of,
                             Factor factor) {
  const Lanes<kRows> lane;
  with_element(to.element, [&](auto zero) {
    using T = decltype(zero);
    T* const base = static_cast<T*>(const_cast<void*>(to.data));
#pragma unroll
    for (int i = 0; i < kRows / 16; ++i) {
      const int row = row_of(lane.row(i));
      if (row < 0) continue;
#pragma unroll
      for (int w = 0; w < kPaddedD / kWidth; ++w) {
        const int column = w * kWidth + lane.tx * 4;
        const float4 v = scaled(sums[w][i], factor(i));
        if (column < to.stride_row)
          *reinterpret_cast<Four<T>*>(base + row * to.stride_row + column) = narrow<T>(v);
      }
    }
  });
}

/// Which tile of which head a block of the grid computes: blockIdx.x runs over the tiles of a head,
/// then over heads, then over batch elements. Kernels over queries count tiles from the last one:
/// under a causal mask it sees the most keys, and long tiles should start first.
struct BlockIndex {
  int tile, h, b;
};

__device__ inline BlockIndex block_index(int tiles, int heads) {
  const int block = static_cast<int>(blockIdx.x);
  return {block % tiles, block / tiles % heads, block / tiles / heads};
}

/// Where the tiles of keys begin that queries from `first_query` on meet.
__device__ inline int first_tile(const Attention& a, int b, int first_query) {
  return keys(a, b, first_query).begin / kColumns * kColumns;
}

}  // namespace flashbench::cuda::simt

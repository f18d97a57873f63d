#pragma once

#include "cuda/simt_f32/simt_f32_stream.cuh"

// The two products of simt_f32 and who computes what.
//
// A warp's 32 lanes are 2 rows of 16. Thread (row ly, column lx) of warp (wr, wc) owns rows
// 16 wr + ly + 2 i of the tile, i = 0..7; of the scores columns lx + 16 c of its warp's, and of the
// sums four neighbouring columns, 4 lx.., of every 64 that its warp has. So one vector read of a
// row of factors serves 16 lanes and one of a column two; eight of each feed 256 multiply-adds.
namespace flashbench::cuda::simt {

extern __shared__ __align__(16) float shared_floats[];

template <TileShape kTile>
struct Lanes {
  // Neighbouring lanes read one column, so that each half of a warp reads eight: all 32 banks.
  int ly, lx, wr, wc;

  __device__ __forceinline__ Lanes() {
    const unsigned thread = fragments::thread();
    ly = static_cast<int>(thread % 2);
    lx = static_cast<int>(thread % 32 / 2);
    wr = static_cast<int>(thread / 32 % kRowWarps);
    wc = static_cast<int>(thread / (32 * kRowWarps));
  }

  __device__ int row(int i) const { return 16 * wr + ly + 2 * i; }
  __device__ int column(int c) const { return 16 * kTile.own_columns * wc + lx + 16 * c; }
  /// The first of this thread's columns of the sums in quad n; counted from the block's first.
  __device__ int quad(int n) const { return 64 * (n * kTile.column_warps + wc) + 4 * lx; }
};

/// A thread's part of a tile of scores, and of the sums.
template <TileShape kTile>
using Scores = float[kOwnRows][kTile.own_columns];
template <TileShape kTile>
using Sums = float4[kTile.own_quads()][kOwnRows];

/// Where a block keeps what, in shared memory.
template <TileShape kTile>
__device__ __forceinline__ float* weights_memory() {
  return shared_floats + 2 * kTile.stage();
}
template <TileShape kTile>
__device__ __forceinline__ int* key_rows_memory(int tile) {
  return reinterpret_cast<int*>(weights_memory<kTile>() + kRowWarps * kTile.weights_of_warp()) +
         tile % 2 * kTile.columns();
}
template <TileShape kTile>
__device__ __forceinline__ float* exchange_memory() {
  return weights_memory<kTile>() + kRowWarps * kTile.weights_of_warp() + 2 * kTile.columns();
}

/// This thread's rows of the weights: row i lies i * columns() floats further.
template <TileShape kTile>
__device__ __forceinline__ float* own_weights() {
  const Lanes<kTile> lane;
  return weights_memory<kTile>() + lane.wr * kTile.weights_of_warp() +
         lane.ly * (kTile.weights_of_warp() / 2);
}

/// scores += rows · columnsᵀ over one slice of the head dimension, in its order.
template <TileShape kTile>
__device__ __forceinline__ void multiply_factors(Scores<kTile>& scores, const float* slice) {
  const Lanes<kTile> lane;
  const float* const rows = slice + lane.row(0) * kFactorStride;
  const float* const columns = slice + (kRows + lane.column(0)) * kFactorStride;
#pragma unroll kTile.unroll()
  for (int k = 0; k < kFactorDepth; k += 4) {
    float4 right[kTile.own_columns];
#pragma unroll
    for (int c = 0; c < kTile.own_columns; ++c)
      right[c] = *reinterpret_cast<const float4*>(columns + 16 * c * kFactorStride + k);
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
      const float4 left = *reinterpret_cast<const float4*>(rows + 2 * i * kFactorStride + k);
#pragma unroll
      for (int c = 0; c < kTile.own_columns; ++c) scores[i][c] = dot(left, right[c], scores[i][c]);
    }
  }
}

/// scores += rows · columnsᵀ over the whole head dimension, in its order: the forward and the
/// backward get the same bits. Leaves behind the first slice of `next`.
template <TileShape kTile, typename TileFactors, typename Next>
__device__ __forceinline__ void multiply_factors(Scores<kTile>& scores, Stages<kTile>& stages,
                                                 const TileFactors& factors, const Next& next) {
  stages.stream(factors, next,
                [&](const float* slice, int) { multiply_factors<kTile>(scores, slice); });
}

/// Publishes this thread's weights. The next barrier makes them visible to the block.
template <TileShape kTile>
__device__ __forceinline__ void store_weights(const Scores<kTile>& weights) {
  const Lanes<kTile> lane;
  float* const own = own_weights<kTile>() + lane.column(0);
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i)
#pragma unroll
    for (int c = 0; c < kTile.own_columns; ++c) own[i * kTile.columns() + 16 * c] = weights[i][c];
}

__device__ __forceinline__ void add_scaled(float4& sum, float weight, float4 v) {
  sum.x = fmaf(weight, v.x, sum.x);
  sum.y = fmaf(weight, v.y, sum.y);
  sum.z = fmaf(weight, v.z, sum.z);
  sum.w = fmaf(weight, v.w, sum.w);
}

__device__ __forceinline__ float4 scaled(float4 v, float factor) {
  return make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor);
}

/// sums += weights · values over one slice of the values' rows, from row `first` on.
template <TileShape kTile>
__device__ __forceinline__ void multiply_values(float4 (&sums)[kTile.quads][kOwnRows],
                                                const float* slice, int first) {
  const Lanes<kTile> lane;
  const float* const weights = own_weights<kTile>() + first;
  const float* const values = slice + lane.quad(0);
#pragma unroll kTile.unroll()
  for (int n = 0; n < kTile.value_rows(); n += 4) {
    float4 value[4][kTile.quads];
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
      for (int q = 0; q < kTile.quads; ++q)
        value[k][q] = *reinterpret_cast<const float4*>(values + (n + k) * kTile.value_width() +
                                                       64 * kTile.column_warps * q);
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
      const float4 weight = *reinterpret_cast<const float4*>(weights + i * kTile.columns() + n);
#pragma unroll
      for (int q = 0; q < kTile.quads; ++q) {
        add_scaled(sums[q][i], weight.x, value[0][q]);
        add_scaled(sums[q][i], weight.y, value[1][q]);
        add_scaled(sums[q][i], weight.z, value[2][q]);
        add_scaled(sums[q][i], weight.w, value[3][q]);
      }
    }
  }
}

/// sums = factor · sums + weights · values for the whole tile of weights: what a tile adds is
/// summed by itself, so that no chain of roundings is longer than a tile. `values(column)` are the
/// slices from that column on. Leaves behind the first slice of `next`.
template <TileShape kTile, typename ValuesFrom, typename Next, typename FactorOf>
__device__ __forceinline__ void add_weighted(Sums<kTile>& sums, Stages<kTile>& stages,
                                             ValuesFrom values, int first_column, int d,
                                             const Next& next, FactorOf factor_of) {
  constexpr int kQuads = kTile.quads;
#pragma unroll
  for (int n = 0; n < kTile.own_quads(); n += kQuads) {
    const int first = first_column + n / kQuads * kTile.value_width();
    if (first >= d) break;
    const auto now = values(first), after = values(first + kTile.value_width());
    const bool more = n + kQuads < kTile.own_quads() && first + kTile.value_width() < d;
    const Either<decltype(after), Next> following = {more, after, next};
    float4 part[kQuads][kOwnRows] = {};
    stages.stream(now, following, [&](const float* slice, int i) {
      multiply_values<kTile>(part, slice, i * kTile.value_rows());
    });
#pragma unroll
    for (int q = 0; q < kQuads; ++q)
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i) {
        const float factor = factor_of(i);
        float4& sum = sums[n + q][i];
        sum.x = fmaf(sum.x, factor, part[q][i].x);
        sum.y = fmaf(sum.y, factor, part[q][i].y);
        sum.z = fmaf(sum.z, factor, part[q][i].z);
        sum.w = fmaf(sum.w, factor, part[q][i].w);
      }
  }
}

/// The maximum, or the sum, over the 16 lanes that share a row.
__device__ __forceinline__ float row_max(float x) {
  for (int lane = 2; lane < 32; lane *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lane));
  return x;
}
__device__ __forceinline__ float row_sum(float x) {
  for (int lane = 2; lane < 32; lane *= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
  return x;
}

/// Writes this thread's part of the sums, row i times factor(i), rounded to the element type.
/// `row_of(r)` is the row of the tensor for row r of the tile, or -1.
template <TileShape kTile, typename RowOf, typename Factor>
__device__ __forceinline__ void store(const Sums<kTile>& sums, const Head& to, int first_column,
                                      RowOf row_of, Factor factor) {
  const Lanes<kTile> lane;
  with_element(to.element, [&](auto zero) {
    using T = decltype(zero);
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
      const int row = row_of(lane.row(i));
      if (row < 0) continue;
      const float f = factor(i);
#pragma unroll
      for (int n = 0; n < kTile.own_quads(); ++n) {
        const int column = first_column + lane.quad(n);
        const float4 v = sums[n][i];
        if (column < to.stride_row)
          *reinterpret_cast<Four<T>*>(to.template at<T>(row, column)) = narrow<T>(scaled(v, f));
      }
    }
  });
}

/// Which tile of which head a block of the grid computes, and which columns of its sums: blockIdx.x
/// runs over the parts of a tile, then over the tiles of a head, then over heads, then over batch
/// elements. Kernels over queries count tiles from the last one: under a causal mask it sees the
/// most keys, and long tiles should start first.
struct BlockIndex {
  int part, tile, h, b;
};

__device__ inline BlockIndex block_index(int parts, int tiles, int heads) {
  const int block = static_cast<int>(blockIdx.x) / parts;
  return {static_cast<int>(blockIdx.x) % parts, block % tiles, block / tiles % heads,
          block / tiles / heads};
}

}  // namespace flashbench::cuda::simt

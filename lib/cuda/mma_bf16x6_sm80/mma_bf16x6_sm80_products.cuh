#pragma once

#include "cuda/fragments/stages.cuh"
#include "cuda/fragments/tile_ranges.cuh"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80_layout.h"

/// Products of f32 tiles on tensor cores. An operand is x = hi + mid + lo, exactly: three bf16 of 8
/// bits each, as f32 has 24. Of the nine partial products of two operands the six largest are
/// computed; the others are below 2^-23 of the product. Exponents are f32's, so that nothing is
/// scaled. A part below the smallest normal number may be flushed: it is off by less than f32
/// arithmetic that flushes. An operand that is infinite, or that bf16 rounds to infinity (from
/// 3.39e38 on), makes NaN of what it meets, since its middle part is one.
///
/// Tensor cores cut sums off. So 16 products at a time are summed there, small ones first, from
/// zero, and what they give is added to the accumulators by ordinary f32 additions.
namespace flashbench::cuda::mma_bf16x6_sm80 {

using namespace fragments;

/// Two numbers in three parts each.
struct Split {
  std::uint32_t hi, mid, lo;
};

__device__ __forceinline__ Split split(float x, float y) {
  Split s;
  s.hi = pack<Bf16>(x, y);
  const float2 hi = unpack<Bf16>(s.hi);
  x -= hi.x;
  y -= hi.y;
  s.mid = pack<Bf16>(x, y);
  const float2 mid = unpack<Bf16>(s.mid);
  s.lo = pack<Bf16>(x - mid.x, y - mid.y);
  return s;
}

/// A 16 x 16 operand A in three parts, from the pairs that instructions.cuh names a[0] to a[3].
struct SplitRows {
  std::uint32_t hi[4], mid[4], lo[4];

  __device__ __forceinline__ void set(int i, float x, float y) {
    const Split s = split(x, y);
    hi[i] = s.hi;
    mid[i] = s.mid;
    lo[i] = s.lo;
  }
};

/// What A is of a product. Scores computed transposed must have the forward's bits: both orders of
/// the partial products are the same one, seen from Q.
enum class ARowsAre { kQueries, kKeys };

/// c += A·B.
template <ARowsAre kRows>
__device__ __forceinline__ void add_product(float (&c)[4], const SplitRows& a, const Split& b0,
                                            const Split& b1) {
  float sum[4] = {};
  multiply_add<Bf16>(sum, a.mid, b0.mid, b1.mid);
  if constexpr (kRows == ARowsAre::kQueries) {
    multiply_add<Bf16>(sum, a.lo, b0.hi, b1.hi);
    multiply_add<Bf16>(sum, a.hi, b0.lo, b1.lo);
    multiply_add<Bf16>(sum, a.mid, b0.hi, b1.hi);
    multiply_add<Bf16>(sum, a.hi, b0.mid, b1.mid);
  } else {
    multiply_add<Bf16>(sum, a.hi, b0.lo, b1.lo);
    multiply_add<Bf16>(sum, a.lo, b0.hi, b1.hi);
    multiply_add<Bf16>(sum, a.hi, b0.mid, b1.mid);
    multiply_add<Bf16>(sum, a.mid, b0.hi, b1.hi);
  }
  multiply_add<Bf16>(sum, a.hi, b0.hi, b1.hi);
#pragma unroll
  for (int i = 0; i < 4; ++i) c[i] += sum[i];
}

/// Elements t, t + 4, t + 8, t + 12 of 16 of a row, t = lane % 4, for eight rows: ldmatrix moves
/// words as well. A and B have them in the same places, so that a product does not notice.
__device__ __forceinline__ void load_row_elements(float (&x)[4], std::uint32_t row) {
  std::uint32_t words[4];
  load_matrices(words, row);
#pragma unroll
  for (int i = 0; i < 4; ++i) x[i] = __uint_as_float(words[i]);
}

__device__ __forceinline__ float load_shared_float(std::uint32_t from) {
  float x;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(from) : "memory");
  return x;
}

/// s += A·Bᵀ: the warp's rows of tile `a` times kColumns rows of tile `b`.
template <ARowsAre kRows, int kD, int kRowTiles, int kColumns>
__device__ __forceinline__ void multiply_by_transposed(Fragments<kRowTiles, kColumns>& s,
                                                       std::uint32_t a, std::uint32_t b) {
  constexpr int kUnits = units(kD);
  constexpr std::uint32_t kEightRows = kMatrixRowBytes<kUnits> / 2;
  const int l = lane();
  const std::uint32_t a_lane = chunk_at<kUnits>(a, warp_row<kRowTiles>() + l % 8, l / 8);
  const std::uint32_t b_lane = chunk_at<kUnits>(b, l % 8, l / 8);
#pragma unroll 1  // no operand of the next step is split before it is needed: registers
  for (int k = 0; k < kD / 16; ++k) {
    SplitRows rows[kRowTiles];
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float x[4];
        load_row_elements(x, advanced(kUnits, a_lane, 4 * k) + kEightRows * (2 * t + half));
        rows[t].set(half, x[0], x[1]);
        rows[t].set(half + 2, x[2], x[3]);
      }
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      float y[4];
      load_row_elements(y, advanced(kUnits, b_lane, 4 * k) + kEightRows * n);
      const Split b0 = split(y[0], y[1]), b1 = split(y[2], y[3]);
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t) add_product<kRows>(s[t][n], rows[t], b0, b1);
    }
  }
}

/// acc += P·B: P comes from this warp's own accumulators; the sum runs over the kInner rows of `b`.
template <int kD, int kRowTiles, int kInner>
__device__ __forceinline__ void multiply_from_registers(Fragments<kRowTiles, kD>& acc,
                                                        const Fragments<kRowTiles, kInner>& p,
                                                        std::uint32_t b) {
  constexpr int kUnits = units(kD);
  constexpr std::uint32_t kEightRows = kMatrixRowBytes<kUnits> / 2;
  const int g = lane() / 4, t4 = lane() % 4;
  // Rows 2t and 2t + 1, column g.
  const std::uint32_t even = chunk_at<kUnits>(b, 2 * t4, g / 4) + 4 * (g % 4);
  const std::uint32_t odd = chunk_at<kUnits>(b, 2 * t4 + 1, g / 4) + 4 * (g % 4);
#pragma unroll
  for (int k = 0; k < kInner / 16; ++k) {
    SplitRows rows[kRowTiles];
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* c = p[t][2 * k + i / 2];
        rows[t].set(i, c[i % 2 * 2], c[i % 2 * 2 + 1]);
      }
#pragma unroll
    for (int n = 0; n < kD / 8; ++n) {
      const std::uint32_t e = advanced(kUnits, even, 2 * n) + kMatrixRowBytes<kUnits> * k;
      const std::uint32_t o = advanced(kUnits, odd, 2 * n) + kMatrixRowBytes<kUnits> * k;
      const Split b0 = split(load_shared_float(e), load_shared_float(o));
      const Split b1 = split(load_shared_float(e + kEightRows), load_shared_float(o + kEightRows));
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t)
        add_product<ARowsAre::kQueries>(acc[t][n], rows[t], b0, b1);
    }
  }
}

/// Writes 16 rows of accumulators, times one factor per half of them, to rows first_row .. of `to`,
/// and the zeros that pad them to 16 bytes.
template <int kD>
__device__ __forceinline__ void store_rows(const float (&acc)[kD / 8][4], const float (&factor)[2],
                                           const HeadRows& to, int first_row) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + fragment_row(half);
    if (row >= to.count) continue;
    auto* const out = reinterpret_cast<float*>(to.row(row));
#pragma unroll
    for (int n = 0; n < kD / 8; ++n) {
      const int column = 8 * n + fragment_column();
      if (column >= (to.d / kUnitsOfFloat + 3) / 4 * 4) continue;
      *reinterpret_cast<float2*>(out + column) = {acc[n][2 * half] * factor[half],
                                                  acc[n][2 * half + 1] * factor[half]};
    }
  }
}

}  // namespace flashbench::cuda::mma_bf16x6_sm80

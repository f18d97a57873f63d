#pragma once

#include "cuda/contract/arguments.h"
#include "cuda/fragments/simt_vectors.cuh"
#include "cuda/fragments/warp.cuh"
#include "cuda/simt_f32/simt_f32_layout.h"

// How simt_f32 moves tensors: slices of them go from global memory through registers, where 16-bit
// elements become f32, to one of two places in shared memory. A slice is on its way while the one
// before it is multiplied.
namespace flashbench::cuda::simt {

/// One head of a [batch, head, row, dim] tensor.
struct Head {
  std::uint64_t data;       ///< in global memory
  std::int32_t stride_row;  ///< elements; what lies at or beyond it is absent
  Element element;

  /// Column `column` of row `row`. One multiply-add: 32-bit numbers, 64-bit sum.
  template <typename T>
  __device__ __forceinline__ T* at(int row, int column) const {
    const auto row_bytes = stride_row * static_cast<std::int32_t>(sizeof(T));
    const std::uint64_t from = data + column * static_cast<std::int32_t>(sizeof(T));
    return reinterpret_cast<T*>(
        __cvta_global_to_generic(from + static_cast<std::int64_t>(row) * row_bytes));
  }
};

__device__ inline int element_bytes(Element element) {
  return element == Element::kF32 ? sizeof(float) : sizeof(Bf16);
}

__device__ __forceinline__ Head head_of(const Rows& rows, Element element, int b, int h) {
  const std::int64_t offset = fragments::rematerialized(b) * rows.stride_b + h * rows.stride_h;
  std::uint64_t data =
      __cvta_generic_to_global(static_cast<char*>(rows.data) + offset * element_bytes(element));
  asm("" : "+l"(data));  // one number to the compiler, which would add its two parts at every use
  return {data, static_cast<std::int32_t>(rows.stride_row), element};
}

/// Calls f with a value of the element type.
template <typename F>
__device__ __forceinline__ void with_element(Element element, F&& f) {
  switch (element) {
    case Element::kF32:
      return f(float{});
    case Element::kBf16:
      return f(Bf16{});
    case Element::kF16:
      return f(F16{});
  }
}

/// Four elements of any type, not looked at yet.
using Raw = uint4;

__device__ __forceinline__ void load(Raw& raw, const float* from) {
  raw = *reinterpret_cast<const uint4*>(from);
}
template <typename T>
__device__ __forceinline__ void load(Raw& raw, const T* from) {
  const uint2 v = *reinterpret_cast<const uint2*>(from);
  raw.x = v.x;
  raw.y = v.y;
}

template <typename T>
__device__ __forceinline__ float4 widen_raw(const Raw& raw) {
  return widen(*reinterpret_cast<const Four<T>*>(&raw));
}

/// Which vectors of a [kCount][kWidth] part of a slice a thread moves: one in every kPass rows.
template <int kCount, int kWidth, int kThreads>
struct Share {
  static constexpr int kVectors = kWidth / 4, kPass = kThreads / kVectors;
  static constexpr int kSlots = kCount / kPass;
  static_assert(kSlots * kPass == kCount);

  int row, column;

  __device__ __forceinline__ Share() {
    const unsigned thread = fragments::thread();
    row = static_cast<int>(thread / kVectors);
    column = static_cast<int>(thread % kVectors * 4);
  }

  /// Requests columns [first, first + kWidth) of kCount rows. Row r of the slice is row `row_of(r)`
  /// of the tensor, always one that exists; for columns that do not exist another one is read.
  template <typename T, typename RowOf>
  __device__ __forceinline__ void request(Raw* raw, const Head& head, int first,
                                          RowOf row_of) const {
    const int from = first + column < head.stride_row ? first + column : 0;
#pragma unroll
    for (int i = 0; i < kSlots; ++i)
      load(raw[i], head.template at<T>(row_of(row + i * kPass), from));
  }

  /// Writes what was requested as f32, rows kStride floats apart.
  template <int kStride, typename T>
  __device__ __forceinline__ void put(float* to, const Raw* raw) const {
    float* const own = to + row * kStride + column;
#pragma unroll
    for (int i = 0; i < kSlots; ++i)
      *reinterpret_cast<float4*>(own + i * kPass * kStride) = widen_raw<T>(raw[i]);
  }

  /// The same, but zeros.
  template <int kStride>
  __device__ __forceinline__ void put_zeros(float* to) const {
    float* const own = to + row * kStride + column;
#pragma unroll
    for (int i = 0; i < kSlots; ++i)
      *reinterpret_cast<float4*>(own + i * kPass * kStride) = make_float4(0, 0, 0, 0);
  }
};

/// Slices of kFactorDepth of the head dimension of the rows and columns of a tile of scores. What
/// lies beyond the head dimension is zero in the rows, so that it may be any number in the columns.
template <TileShape kTile, typename RowOf, typename ColumnOf>
struct Factors {
  using RowShare = Share<kRows, kFactorDepth, kTile.threads()>;
  using ColumnShare = Share<kTile.columns(), kFactorDepth, kTile.threads()>;
  static constexpr int kSlots = RowShare::kSlots + ColumnShare::kSlots;

  Head rows;
  RowOf row_of;
  Head columns;
  ColumnOf column_of;
  int d;

  __device__ int slices() const { return (d + kFactorDepth - 1) / kFactorDepth; }
  __device__ __forceinline__ void request(Raw* raw, int slice) const {
    with_element(rows.element, [&](auto zero) {
      using T = decltype(zero);
      const int first = slice * kFactorDepth;
      RowShare().template request<T>(raw, rows, first, row_of);
      ColumnShare().template request<T>(raw + RowShare::kSlots, columns, first, column_of);
    });
  }
  __device__ __forceinline__ void put(float* to, const Raw* raw, int slice) const {
    with_element(rows.element, [&](auto zero) {
      using T = decltype(zero);
      const RowShare share;
      if (slice * kFactorDepth + share.column < rows.stride_row)
        share.template put<kFactorStride, T>(to, raw);
      else
        share.template put_zeros<kFactorStride>(to);
      ColumnShare().template put<kFactorStride, T>(to + kRows * kFactorStride,
                                                   raw + RowShare::kSlots);
    });
  }
};

/// Slices of the rows that a tile of weights is multiplied by, all of them value_width() columns
/// from `first_column`. Sums of columns beyond the head dimension are numbers that nobody reads.
template <TileShape kTile, typename RowOf>
struct Values {
  using ValueShare = Share<kTile.value_rows(), kTile.value_width(), kTile.threads()>;
  static constexpr int kSlots = ValueShare::kSlots;

  Head head;
  RowOf row_of;
  int first_column;

  __device__ int slices() const { return kTile.columns() / kTile.value_rows(); }
  __device__ __forceinline__ void request(Raw* raw, int slice) const {
    const int first_row = slice * kTile.value_rows();
    with_element(head.element, [&](auto zero) {
      ValueShare().template request<decltype(zero)>(raw, head, first_column,
                                                    [&](int r) { return row_of(first_row + r); });
    });
  }
  __device__ __forceinline__ void put(float* to, const Raw* raw, int) const {
    with_element(head.element, [&](auto zero) {
      ValueShare().template put<kTile.value_width(), decltype(zero)>(to, raw);
    });
  }
};

/// `a`, or else `b`.
template <typename A, typename B>
struct Either {
  bool is_a;
  const A& a;
  const B& b;
  static constexpr int kSlots = A::kSlots > B::kSlots ? A::kSlots : B::kSlots;

  __device__ __forceinline__ void request(Raw* raw, int slice) const {
    if (is_a)
      a.request(raw, slice);
    else
      b.request(raw, slice);
  }
  __device__ __forceinline__ void put(float* to, const Raw* raw, int slice) const {
    if (is_a)
      a.put(to, raw, slice);
    else
      b.put(to, raw, slice);
  }
};

/// The two places for slices.
template <TileShape kTile>
struct Stages {
  float* memory;
  int at = 0;  ///< floats: which place holds the slice that is next to be multiplied

  __device__ const float* now() const { return memory + at; }
  __device__ float* other() const { return memory + (kTile.stage() - at); }

  /// Fills the first place with the first slice of `slices`.
  template <typename Slices>
  __device__ __forceinline__ void begin(const Slices& slices) {
    Raw raw[Slices::kSlots];
    slices.request(raw, 0);
    slices.put(memory + at, raw, 0);
  }

  /// Calls multiply(slice, index) for every slice of `slices`, the first of which is in place;
  /// leaves behind the first one of `next`.
  template <typename Slices, typename Next, typename Multiply>
  __device__ __forceinline__ void stream(const Slices& slices, const Next& next,
                                         Multiply multiply) {
    const int count = slices.slices();
#pragma unroll 1
    for (int i = 0; i < count; ++i) {
      __syncthreads();  // slice i is there, and the slice before it has been read
      const Either<Next, Slices> following = {i + 1 == count, next, slices};
      Raw raw[Either<Next, Slices>::kSlots];
      const int index = following.is_a ? 0 : i + 1;
      following.request(raw, index);
      multiply(now(), i);
      following.put(other(), raw, index);
      at = kTile.stage() - at;
    }
  }
};

}  // namespace flashbench::cuda::simt

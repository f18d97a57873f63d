#pragma once

#include <cstdint>

#include "cuda/contract/arguments.h"

/// The rows of a problem that a CTA works on, as addresses and as blocks of queries and keys.
namespace flashbench::cuda::fragments {

using Bits = std::uint16_t;  ///< storage of an element; only the products know its type

/// The rows of one batch element and head. With `position`, row i lies at position[i]: how keys
/// that the padding mask keeps become neighbours. Hidden keys are neither read nor multiplied; a
/// row is 64 to 512 contiguous bytes either way, so that the gather costs one cached index a row.
struct HeadRows {
  Bits* data;
  std::int64_t stride;
  const std::int32_t* position;
  int count, d;

  __device__ __forceinline__ Bits* row(int i) const {
    return data + stride * (position == nullptr ? i : position[i]);
  }
};

/// The rows with elements in units of 16 bits, which is how tiles are moved: f32 takes two. Of one
/// unit they are not copied, which ptxas notices.
template <int kUnits>
__device__ __forceinline__ decltype(auto) in_units(const Rows& r) {
  if constexpr (kUnits == 1)
    return (r);
  else
    return Rows{r.data, kUnits * r.stride_b, kUnits * r.stride_h, kUnits * r.stride_row};
}

template <int kUnits = 1>
__device__ __forceinline__ HeadRows query_rows(const Attention& a, const Rows& tensor, int b,
                                               int h) {
  const Rows& rows = in_units<kUnits>(tensor);
  return {static_cast<Bits*>(rows.data) + b * rows.stride_b + h * rows.stride_h, rows.stride_row,
          nullptr, a.q_len, kUnits * a.d};
}

template <int kUnits = 1>
__device__ __forceinline__ HeadRows key_rows(const Attention& a, const Rows& tensor, int b,
                                             int h_kv) {
  const Rows& rows = in_units<kUnits>(tensor);
  return {static_cast<Bits*>(rows.data) + b * rows.stride_b + h_kv * rows.stride_h, rows.stride_row,
          a.kept == nullptr ? nullptr : a.kept + static_cast<std::int64_t>(b) * a.kv_len,
          kept_count(a, b), kUnits * a.d};
}

/// The same of V, O, dO and dV, whose rows may be of another width than those of Q and K.
template <Variant kVariant, int kUnits = 1>
__device__ __forceinline__ HeadRows query_values(const Attention& a, const Rows& rows, int b,
                                                 int h) {
  if constexpr (kVariant == Variant::kPlain) return query_rows<kUnits>(a, rows, b, h);
  HeadRows wide = query_rows<kUnits>(a, rows, b, h);
  wide.d = a.d_v * kUnits;
  return wide;
}
template <Variant kVariant, int kUnits = 1>
__device__ __forceinline__ HeadRows key_values(const Attention& a, const Rows& rows, int b,
                                               int h_kv) {
  if constexpr (kVariant == Variant::kPlain) return key_rows<kUnits>(a, rows, b, h_kv);
  HeadRows wide = key_rows<kUnits>(a, rows, b, h_kv);
  wide.d = a.d_v * kUnits;
  return wide;
}

/// What a block of queries works on. The last queries come first: under a causal mask they see the
/// most keys, and the short blocks fill the gaps at the end.
struct QueryBlock {
  int b, h, first_row;

  __device__ QueryBlock(int b, int h, int first_row) : b(b), h(h), first_row(first_row) {}
  __device__ QueryBlock(const Attention& a, int rows) {
    const int blocks = (a.q_len + rows - 1) / rows;
    const int head = static_cast<int>(blockIdx.x) / blocks;
    first_row = (blocks - 1 - static_cast<int>(blockIdx.x) % blocks) * rows;
    b = head / a.h;
    h = head % a.h;
  }
};

/// Index of a head's first row in LSE and D.
__device__ __forceinline__ std::int64_t row_offset(const Attention& a, int b, int h) {
  return (static_cast<std::int64_t>(b) * a.h + h) * a.q_len;
}

/// What a block of keys works on. The first keys come first: under a causal mask most queries see
/// them. The host launches as many blocks as the batch element with the most kept keys needs.
struct KeyBlock {
  int b, h_kv, first_row;

  __device__ KeyBlock(int b, int h_kv, int first_row) : b(b), h_kv(h_kv), first_row(first_row) {}
  __device__ KeyBlock(const Attention& a, int rows) {
    const int heads = a.b * a.h_kv;
    const int blocks = static_cast<int>(gridDim.x) / heads;
    const int head = static_cast<int>(blockIdx.x) / blocks;
    first_row = static_cast<int>(blockIdx.x) % blocks * rows;
    b = head / a.h_kv;
    h_kv = head % a.h_kv;
  }
};

}  // namespace flashbench::cuda::fragments

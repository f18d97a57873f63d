#pragma once

#include "cuda/decode_sm80/decode_sm80_rows.cuh"
#include "cuda/decode_sm80/decode_sm80_shares.cuh"
#include "cuda/fragments/softmax.cuh"

/// What is known of a block of rows becomes O and LSE: that of the warps of a CTA through shared
/// memory, then, where several CTAs had keys of it, that of the CTAs through the workspace.
namespace flashbench::cuda::decode_sm80 {

/// Shared memory behind the rings and Q.
template <Tile kTile>
struct Exchange {
  static constexpr int kD = kTile.d;
  WarpState* states;    ///< of each warp
  std::uint32_t* o_at;  ///< where each warp put its O: kRows rows of kD floats
  std::uint32_t* is_last;
  int warps;

  __device__ __forceinline__ Exchange(unsigned char* shared, int warps) : warps(warps) {
    states = reinterpret_cast<WarpState*>(shared + warps * ring_bytes(kTile) + query_bytes(kTile));
    o_at = reinterpret_cast<std::uint32_t*>(states + warps);
    is_last = o_at + warps;
  }

  /// Where four columns of O lie, exchanged so that rows which are written at once meet in no bank.
  static __device__ __forceinline__ std::uint32_t at(std::uint32_t o, int row, int column) {
    return o + static_cast<std::uint32_t>(4 * (row * kD + (column ^ (row % 4 * 8))));
  }

  /// Puts what this warp knows of a row tile, of whose rows `rows` exist, where the others find it.
  __device__ __forceinline__ void put(const float (&o)[kD / 8][4], const float (&max)[2],
                                      const float (&sums)[2], std::uint32_t to, int rows) const {
    if (lane() == 0) o_at[warp()] = to;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = fragment_row(half);
      const float sum = sum_of_four_lanes(sums[half]);
      if (row >= rows) continue;
      if (fragment_column() == 0) states[warp()].rows[row] = {max[half], sum};
#pragma unroll
      for (int n = 0; n < kD / 8; ++n)
        store_shared_pair(at(to, row, 8 * n + fragment_column()), o[n][2 * half],
                          o[n][2 * half + 1]);
    }
  }
};

/// Four columns of a row of O that is not divided by its sum yet.
struct Sums {
  float max = -kInf, sum = 0.0f;
  float4 o = {0.0f, 0.0f, 0.0f, 0.0f};

  __device__ __forceinline__ void scale(float factor) {
    sum *= factor;
    o = {o.x * factor, o.y * factor, o.z * factor, o.w * factor};
  }
  __device__ __forceinline__ void add(float factor, const float4& x) {
    o.x = fmaf(factor, x.x, o.x);
    o.y = fmaf(factor, x.y, o.y);
    o.z = fmaf(factor, x.z, o.z);
    o.w = fmaf(factor, x.w, o.w);
  }
};

/// Writes four columns of O, and with the first of them LSE.
template <typename T>
__device__ __forceinline__ void store_result(const Attention& a, int b, int h_kv, int row,
                                             int column, const Sums& x, float scale_log2) {
  const float inverse = x.sum == 0.0f ? 0.0f : 1.0f / x.sum;
  if (column < a.o.stride_row)
    *reinterpret_cast<uint2*>(query_row(a, a.o, b, h_kv, row) + column) = {
        pack<T>(x.o.x * inverse, x.o.y * inverse), pack<T>(x.o.z * inverse, x.o.w * inverse)};
  if (column > 0) return;
  const float log2_sum = log2_sum_of(x.max, x.sum, shift_of(x.max, scale_log2, 0.0f));
  a.lse[row_offset(a, b, h_kv * a.group) + row] =
      x.sum == 0.0f ? -kInf : (x.max * scale_log2 + log2_sum) * kLn2;
}

/// What CTAs first .. last leave each other of a block, in the workspace.
template <Tile kTile>
struct Parts {
  unsigned char* data = nullptr;
  int first = 0, last = 0;

  Parts() = default;
  __device__ __forceinline__ Parts(const Attention& a, int first, int last)
      : data(static_cast<unsigned char*>(a.workspace) +
             counters_bytes(static_cast<std::int64_t>(a.b) * a.h_kv * blocks_of_head<kTile>(a))),
        first(first),
        last(last) {}

  /// The block is the last one of the first CTA's share, and the first one of the others'.
  __device__ __forceinline__ unsigned char* of(int cta) const {
    return data + static_cast<std::int64_t>(kPartsOfCta * cta + (cta == first)) * part_bytes(kTile);
  }
  __device__ __forceinline__ float2* state(int cta, int row) const {
    return reinterpret_cast<float2*>(reinterpret_cast<RowState*>(of(cta)) + row);
  }
  __device__ __forceinline__ float4* o(int cta, int row, int column) const {
    return reinterpret_cast<float4*>(of(cta) + part_state_bytes(kTile)) +
           (row * kTile.d + column) / 4;
  }
};

/// What all warps of this CTA know of four columns of a row of the row tile that they have put.
template <Tile kTile>
__device__ __forceinline__ Sums sum_of_warps(const Exchange<kTile>& exchange, int row, int column,
                                             float scale_log2) {
  Sums x;
#pragma unroll
  for (int w = 0; w < kMostWarps; ++w)
    if (w < exchange.warps) x.max = fmaxf(x.max, exchange.states[w].rows[row].max);
  const Shift by = shift_of(x.max, scale_log2, 0.0f);
#pragma unroll
  for (int w = 0; w < kMostWarps; ++w)
    if (w < exchange.warps) {
      const RowState state = exchange.states[w].rows[row];
      const uint4 o = load_shared_16(Exchange<kTile>::at(exchange.o_at[w], row, column));
      const float factor = rescaling(state.max, shift_of(state.max, scale_log2, 0.0f), by);
      x.sum = fmaf(factor, state.sum, x.sum);
      x.add(factor, {__uint_as_float(o.x), __uint_as_float(o.y), __uint_as_float(o.z),
                     __uint_as_float(o.w)});
    }
  return x;
}

/// What all CTAs know of four columns of a row, in the order of their keys. A warp's lanes have
/// columns of the same row; each reads the state of one part, up to 32 of them at once, and O of 16
/// parts is on its way at once, the first ones together with the states.
template <Tile kTile>
__device__ __forceinline__ Sums sum_of_ctas(const Parts<kTile>& parts, int row, int column,
                                            float scale_log2) {
  constexpr int kAtOnce = 16;
  Sums x;
#pragma unroll 1
  for (int base = parts.first; base <= parts.last; base += 32) {
    const int count = min(32, parts.last - base + 1);
    float2 state = {-kInf, 0.0f};
    if (lane() < count) state = __ldcg(parts.state(base + lane(), row));
    float4 o[kAtOnce];
    const auto load = [&](int from) {
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n)
        o[n] = __ldcg(parts.o(base + min(from + n, count - 1), row, column));
    };
    load(0);
    const float max = fmaxf(x.max, max_of_lanes(state.x));
    const Shift by = shift_of(max, scale_log2, 0.0f);
    const float factor = rescaling(state.x, shift_of(state.x, scale_log2, 0.0f), by);
    x.scale(rescaling(x.max, shift_of(x.max, scale_log2, 0.0f), by));
    x.max = max;
    x.sum += sum_of_lanes(factor * state.y);
#pragma unroll 1
    for (int from = 0; from < count; from += kAtOnce) {
      if (from > 0) load(from);
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        const float of_part = __shfl_sync(0xffffffffu, factor, from + n);
        if (from + n < count) x.add(of_part, o[n]);
      }
    }
  }
  return x;
}

/// Whether this CTA is the last one to know its part of a block that `ctas` CTAs have keys of, and
/// sees all other parts. The counter is 0 again after the last one.
template <Tile kTile>
__device__ __forceinline__ bool is_last_of(const Exchange<kTile>& exchange, std::uint32_t* counter,
                                           int ctas) {
  __syncthreads();  // all threads have written their columns of the part
  if (threadIdx.x == 0) {
    const auto last = static_cast<std::uint32_t>(ctas - 1);
    *exchange.is_last = count_up_to(counter, last) == last;
  }
  __syncthreads();  // all are told
  return *exchange.is_last != 0;
}

/// The parts of the block that `place` is in: of those whose shares have steps of it.
template <Tile kTile>
__device__ __forceinline__ Parts<kTile> parts_of(const Attention& a, const Shares& shares,
                                                 const Place<kTile>& place) {
  const BlockKeys keys = BlockKeys::of<kTile>(a, place.b, place.block);
  const int begin = place.position - (place.step - keys.first);
  return {a, shares.owner(begin), shares.owner(begin + keys.steps - 1)};
}

/// A row tile that all warps have put: O and LSE, if nobody else has keys of its block, or this
/// CTA's part of them. `tile_row` is its first row in the block, `first_row` the block's.
template <typename T, Tile kTile>
__device__ __forceinline__ void finish_row_tile(const Attention& a, const Exchange<kTile>& exchange,
                                                const Parts<kTile>& parts,
                                                const Place<kTile>& place, int first_row,
                                                int tile_row, int rows, float scale_log2) {
  constexpr int kColumns = kTile.d / 4;
  const int cta = static_cast<int>(blockIdx.x);
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < rows * kColumns; i += 32 * exchange.warps) {
    const int row = i / kColumns, column = i % kColumns * 4;
    const Sums x = sum_of_warps(exchange, row, column, scale_log2);
    if (parts.first == parts.last) {
      store_result<T>(a, place.b, place.h_kv, first_row + tile_row + row, column, x, scale_log2);
    } else {
      *parts.o(cta, tile_row + row, column) = x.o;
      if (column == 0) *parts.state(cta, tile_row + row) = {x.max, x.sum};
    }
  }
}

/// The end of a block in this CTA: its warps' sums become O and LSE, or a part; who leaves the last
/// part adds them all. Each warp puts one row tile after the other to stage `to` of its ring.
template <typename T, Tile kTile>
__device__ __forceinline__ void finish_block(const Attention& a, const Exchange<kTile>& exchange,
                                             const Shares& shares, const Place<kTile>& place,
                                             const Fragments<kTile.row_tiles, kTile.d>& o,
                                             const RunningSoftmax<kTile.row_tiles>& softmax,
                                             std::uint32_t to, float scale_log2) {
  const int first_row = first_row_of<kTile>(place.block);
  const int rows = kTile.blocks == Blocks::kOne ? rows_of_head(a)
                                                : min(kTile.rows(), rows_of_head(a) - first_row);
  Parts<kTile> parts;
#pragma unroll
  for (int t = 0; t < kTile.row_tiles; ++t) {
    const int rows_here = kTile.row_tiles == 1 ? rows : min(kRows, rows - kRows * t);
    if (t > 0) {
      if (rows_here <= 0) break;
      __syncthreads();  // all have read the row tile before
    }
    exchange.put(o[t], softmax.max[t], softmax.sum[t], to, rows_here);
    __syncthreads();  // all warps have put theirs
    if (t == 0) parts = parts_of(a, shares, place);
    finish_row_tile<T, kTile>(a, exchange, parts, place, first_row, kRows * t, rows_here,
                              scale_log2);
  }
  if (parts.first == parts.last) return;
  auto* const counter = static_cast<std::uint32_t*>(a.workspace) +
                        (place.b * a.h_kv + place.h_kv) * blocks_of_head<kTile>(a) + place.block;
  if (!is_last_of(exchange, counter, parts.last - parts.first + 1)) return;
  // A warp has a row, or 128 columns of it.
  constexpr int kD = kTile.d, kPieces = (kD / 4 + 31) / 32;
#pragma unroll 1
  for (int i = warp(); i < rows * kPieces; i += exchange.warps) {
    const int row = i / kPieces, column = (i % kPieces * 32 + lane()) * 4;
    const Sums x = sum_of_ctas(parts, row, min(column, kD - 4), scale_log2);
    if (column < kD)
      store_result<T>(a, place.b, place.h_kv, first_row + row, column, x, scale_log2);
  }
}

}  // namespace flashbench::cuda::decode_sm80

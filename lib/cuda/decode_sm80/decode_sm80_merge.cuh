#pragma once

#include "cuda/decode_sm80/decode_sm80_rows.cuh"
#include "cuda/decode_sm80/decode_sm80_shares.cuh"
#include "cuda/fragments/softmax.cuh"

/// What is known of a head becomes O and LSE: that of the warps of a CTA through shared memory,
/// then, where several CTAs had keys of it, that of the CTAs through the workspace.
namespace flashbench::cuda::decode_sm80 {

/// Shared memory behind the rings and Q.
template <int kD>
struct Exchange {
  WarpState* states;    ///< of each warp
  std::uint32_t* o_at;  ///< where each warp put its O: kRows rows of kD floats
  std::uint32_t* is_last;
  int warps;

  __device__ __forceinline__ Exchange(unsigned char* shared, int warps) : warps(warps) {
    states = reinterpret_cast<WarpState*>(shared + warps * ring_bytes(kD) + query_bytes(kD));
    o_at = reinterpret_cast<std::uint32_t*>(states + warps);
    is_last = o_at + warps;
  }

  /// Where four columns of O lie, exchanged so that rows which are written at once meet in no bank.
  static __device__ __forceinline__ std::uint32_t at(std::uint32_t o, int row, int column) {
    return o + static_cast<std::uint32_t>(4 * (row * kD + (column ^ (row % 4 * 8))));
  }

  /// Puts what this warp knows of the head where the others find it.
  __device__ __forceinline__ void put(const Fragments<1, kD>& o, const RunningSoftmax<1>& softmax,
                                      float scale_log2, std::uint32_t to, int rows) const {
    if (lane() == 0) o_at[warp()] = to;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = fragment_row(half);
      const float sum = sum_of_four_lanes(softmax.sum[0][half]);
      if (row >= rows) continue;
      if (fragment_column() == 0)
        states[warp()].rows[row] = {softmax.max[0][half] * scale_log2, sum};
#pragma unroll
      for (int n = 0; n < kD / 8; ++n)
        store_shared_pair(at(to, row, 8 * n + fragment_column()), o[0][n][2 * half],
                          o[0][n][2 * half + 1]);
    }
  }
};

/// Four columns of a row of O that is not divided by its sum yet.
struct Sums {
  float max_log2 = -kInf, sum = 0.0f;
  float4 o = {0.0f, 0.0f, 0.0f, 0.0f};

  /// Adds what somebody else knows, whose rows were scaled by another maximum.
  __device__ __forceinline__ void add(const RowState& row, const float4& x) {
    const float factor = exp2_fast(row.max_log2 - max_log2);
    sum = fmaf(factor, row.sum, sum);
    o.x = fmaf(factor, x.x, o.x);
    o.y = fmaf(factor, x.y, o.y);
    o.z = fmaf(factor, x.z, o.z);
    o.w = fmaf(factor, x.w, o.w);
  }
};

/// Writes four columns of O, and with the first of them LSE.
template <typename T>
__device__ __forceinline__ void store_result(const Attention& a, int b, int h_kv, int row,
                                             int column, const Sums& x) {
  const float inverse = x.sum == 0.0f ? 0.0f : 1.0f / x.sum;
  if (column < a.o.stride_row)
    *reinterpret_cast<uint2*>(query_row(a, a.o, b, h_kv, row) + column) = {
        pack<T>(x.o.x * inverse, x.o.y * inverse), pack<T>(x.o.z * inverse, x.o.w * inverse)};
  if (column == 0)
    a.lse[row_offset(a, b, h_kv * a.group) + row] =
        x.sum == 0.0f ? -kInf : fmaf(x.max_log2, kLn2, logf(x.sum));
}

/// What CTAs leave each other, in the workspace.
template <int kD>
struct Parts {
  unsigned char* data;

  __device__ __forceinline__ explicit Parts(const Attention& a)
      : data(static_cast<unsigned char*>(a.workspace) +
             counters_bytes(static_cast<std::int64_t>(a.b) * a.h_kv)) {}

  /// Of a CTA, the part of the head that it ends with, or of the one that it begins with.
  __device__ __forceinline__ unsigned char* part(int cta, bool of_last_head) const {
    return data + static_cast<std::int64_t>(kPartsOfCta * cta + of_last_head) * part_bytes(kD);
  }
  static __device__ __forceinline__ RowState* state(unsigned char* part, int row) {
    return reinterpret_cast<WarpState*>(part)->rows + row;
  }
  static __device__ __forceinline__ float4* o(unsigned char* part, int row, int column) {
    return reinterpret_cast<float4*>(part + sizeof(WarpState)) + (row * kD + column) / 4;
  }
};

/// What all warps of this CTA know of four columns of a row.
template <int kD>
__device__ __forceinline__ Sums sum_of_warps(const Exchange<kD>& exchange, int row, int column) {
  Sums x;
  for (int w = 0; w < exchange.warps; ++w)
    x.max_log2 = fmaxf(x.max_log2, exchange.states[w].rows[row].max_log2);
  for (int w = 0; w < exchange.warps; ++w) {
    const RowState state = exchange.states[w].rows[row];
    if (state.max_log2 == -kInf) continue;
    const uint4 o = load_shared_16(Exchange<kD>::at(exchange.o_at[w], row, column));
    x.add(state,
          {__uint_as_float(o.x), __uint_as_float(o.y), __uint_as_float(o.z), __uint_as_float(o.w)});
  }
  return x;
}

/// What CTAs first .. last know of four columns of a row, in the order of their keys.
template <int kD>
__device__ __forceinline__ Sums sum_of_ctas(const Parts<kD>& parts, int first, int last, int row,
                                            int column) {
  const auto state = [&](int cta) {
    const float2 s = __ldcg(
        reinterpret_cast<const float2*>(Parts<kD>::state(parts.part(cta, cta == first), row)));
    return RowState{s.x, s.y};
  };
  Sums x;
#pragma unroll 8
  for (int cta = first; cta <= last; ++cta) x.max_log2 = fmaxf(x.max_log2, state(cta).max_log2);
#pragma unroll 8
  for (int cta = first; cta <= last; ++cta) {
    const float4 o = __ldcg(Parts<kD>::o(parts.part(cta, cta == first), row, column));
    const RowState s = state(cta);
    if (s.max_log2 != -kInf) x.add(s, o);
  }
  return x;
}

/// The CTA is the last one to know its part of a head that `ctas` CTAs have keys of. The counter is
/// 0 again after the last one.
template <int kD>
__device__ __forceinline__ bool is_last_of(const Exchange<kD>& exchange, std::uint32_t* counter,
                                           int ctas) {
  __threadfence();
  __syncthreads();  // every thread's part is written and fenced
  if (threadIdx.x == 0) {
    const auto last = static_cast<std::uint32_t>(ctas - 1);
    *exchange.is_last = atomicInc(counter, last) == last;
    __threadfence();
  }
  __syncthreads();
  return *exchange.is_last != 0;
}

/// All warps have put what they know of a head: O and LSE, if nobody else has keys of it, or if all
/// others have left their parts.
template <typename T, int kD, int kKeys>
__device__ __forceinline__ void finish_head(const Attention& a, const Exchange<kD>& exchange,
                                            const Shares& shares, const Place<kKeys>& head) {
  constexpr int kColumns = kD / 4;
  const HeadKeys keys = HeadKeys::of<kKeys>(a, head.b);
  const int begin = head.position - (head.step - keys.first);
  const int first = shares.owner(begin), last = shares.owner(begin + keys.steps - 1);
  const int cta = static_cast<int>(blockIdx.x), rows = rows_of_head(a);
  const auto each = [&](auto&& body) {
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < rows * kColumns; i += blockDim.x)
      body(i / kColumns, i % kColumns * 4);
  };
  if (first == last) {
    each([&](int row, int column) {
      store_result<T>(a, head.b, head.h_kv, row, column, sum_of_warps(exchange, row, column));
    });
    return;
  }
  const Parts<kD> parts(a);
  each([&](int row, int column) {
    const Sums x = sum_of_warps(exchange, row, column);
    unsigned char* const part = parts.part(cta, cta == first);
    *Parts<kD>::o(part, row, column) = x.o;
    if (column == 0) *Parts<kD>::state(part, row) = {x.max_log2, x.sum};
  });
  auto* const counter = static_cast<std::uint32_t*>(a.workspace) + head.b * a.h_kv + head.h_kv;
  if (!is_last_of(exchange, counter, last - first + 1)) return;
  each([&](int row, int column) {
    store_result<T>(a, head.b, head.h_kv, row, column,
                    sum_of_ctas(parts, first, last, row, column));
  });
}

}  // namespace flashbench::cuda::decode_sm80

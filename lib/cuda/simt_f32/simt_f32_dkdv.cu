#include "cuda/simt_f32/simt_f32_weights.cuh"

// simt_f32, backward, second half: dV = Pᵀ dO and dK = scale * dSᵀ Q.
//
// A block owns kRows kept keys of one K/V head and walks over the queries that see them, of every
// query head of its group: the transposed score tiles Sᵀ = K Qᵀ and dPᵀ = V dOᵀ. Both sums stay in
// registers, 2 * kRows * kPaddedD / 256 of them. Four products of 2 * kRows * 64 * d FLOP a
// tile. Heads of a group follow one another in one block, so runs are bitwise equal.
namespace flashbench::cuda::simt {
namespace {

/// One tile of queries of one head against this block's keys.
template <int kPaddedD, typename KeyOf>
__device__ void add_tile(const Attention& a, Shared<key_rows(kPaddedD)>& shared, int b, int h,
                         int first_key, KeyOf key, int first_q,
                         Sums<key_rows(kPaddedD), kPaddedD>& dk,
                         Sums<key_rows(kPaddedD), kPaddedD>& dv) {
  constexpr int kRows = key_rows(kPaddedD);
  const Lanes<kRows> lane;
  const Head q = head_of(a.q, a.element, b, h), d_o = head_of(a.d_o, a.element, b, h);
  const Head k = head_of(a.k, a.element, b, h / a.group);
  const Head v = head_of(a.v, a.element, b, h / a.group);
  const auto query = [&](int c) { return first_q + c < a.q_len ? first_q + c : -1; };
  Scores<kRows> p, ds;
  multiply<kRows>(p, shared, k, key, q, query, a.d);
  multiply<kRows>(ds, shared, v, key, d_o, query, a.d);
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    QueryRow row = query_row(a, b, h, min(first_q + lane.column(c), a.q_len - 1));
    if (query(lane.column(c)) < 0) row.sees = {0, 0};
#pragma unroll
    for (int i = 0; i < kRows / 16; ++i) {
      p[i][c] = weight(a, row, first_key + lane.row(i), p[i][c]);
      ds[i][c] = p[i][c] * (ds[i][c] - row.delta);
    }
  }
  store_weights<kRows>(shared, p);
  add_weighted<kRows, kPaddedD>(dv, shared, d_o, query, a.d);
  __syncthreads();  // all threads have read P: dS may take its place
  store_weights<kRows>(shared, ds);
  add_weighted<kRows, kPaddedD>(dk, shared, q, query, a.d);
}

template <int kPaddedD>
__device__ void dkdv(const Attention& a) {
  constexpr int kRows = key_rows(kPaddedD);
  __shared__ Shared<kRows> shared;
  const BlockIndex block = block_index(static_cast<int>(gridDim.x) / (a.b * a.h_kv), a.h_kv);
  const int first_key = block.tile * kRows;  // under a causal mask the first tile is the longest
  const int keys = kept_count(a, block.b);
  if (first_key >= keys) return;  // this batch element keeps fewer keys than another
  const auto key = [&](int r) {
    return first_key + r < keys ? key_row(a, block.b, first_key + r) : -1;
  };
  Sums<kRows, kPaddedD> dk = {}, dv = {};
  const int begin = queries(a, block.b, first_key).begin / kColumns * kColumns;
  const int end = queries(a, block.b, min(first_key + kRows, keys) - 1).end;
  for (int h = block.h * a.group; h < (block.h + 1) * a.group; ++h)
    for (int first_q = begin; first_q < end; first_q += kColumns)
      add_tile<kPaddedD>(a, shared, block.b, h, first_key, key, first_q, dk, dv);
  store<kRows, kPaddedD>(dk, head_of(a.dk, a.element, block.b, block.h), key,
                         [&](int) { return a.scale; });
  store<kRows, kPaddedD>(dv, head_of(a.dv, a.element, block.b, block.h), key,
                         [](int) { return 1.0f; });
}

}  // namespace
}  // namespace flashbench::cuda::simt

#define FLASHBENCH_SIMT_DKDV(D)                                                     \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::simt::kThreads, 1) \
      simt_f32_dkdv_d##D(const __grid_constant__ flashbench::cuda::Attention a) {   \
    flashbench::cuda::simt::dkdv<D>(a);                                             \
  }

FLASHBENCH_SIMT_DKDV(64)
FLASHBENCH_SIMT_DKDV(128)
FLASHBENCH_SIMT_DKDV(256)
FLASHBENCH_SIMT_DKDV(512)
FLASHBENCH_SIMT_DKDV(1024)

#include "cuda/simt_f32/simt_f32_tiles.cuh"

// simt_f32, forward: FlashAttention-2's Algorithm 1 on ordinary f32 multiply-adds.
//
// A block owns kRows queries of one head and walks over their visible keys, 64 at a time. Of Q, K
// and V only slices lie in shared memory (36 KB at 64 rows), so that any head dimension runs; O
// stays in registers: kRows * kPaddedD / 256 of them, which is why rows shrink as d grows.
// Per tile: 4 * 64 * 64 * d FLOP for 3 * 64 * d elements read through L2: 21 FLOP per byte in f32.
namespace flashbench::cuda::simt {
namespace {

constexpr float kLn2 = 0.693147180559945309f;

/// Absorbs one tile of scores into the running maximum (of `sign` times the scores) and sum of a
/// row. Turns the scores into weights and returns the factor for the old sum and the old O.
__device__ float absorb(float (&s)[4], int first_column, KeyRange seen, float sign,
                        float scale_log2, float& max, float& sum) {
  const Lanes<64> lane;  // columns do not depend on the number of rows
  float tile_max = -INFINITY;
  for (int c = 0; c < 4; ++c)
    if (seen.holds(first_column + lane.column(c))) tile_max = fmaxf(tile_max, sign * s[c]);
  const float new_max = fmaxf(max, row_max(tile_max));
  // Nothing seen yet: (-inf) times a scale of 0 is NaN.
  const float rescale = max == -INFINITY ? 0.0f : exp2f((max - new_max) * fabsf(scale_log2));
  float tile_sum = 0;
  for (int c = 0; c < 4; ++c) {
    const bool visible = seen.holds(first_column + lane.column(c));
    s[c] = visible ? exp2f((s[c] - sign * new_max) * scale_log2) : 0.0f;
    tile_sum += s[c];
  }
  sum = sum * rescale + row_sum(tile_sum);
  max = new_max;
  return rescale;
}

template <int kPaddedD>
__device__ void forward(const Attention& a) {
  constexpr int kRows = query_rows(kPaddedD), kOwnRows = kRows / 16;
  __shared__ Shared<kRows> shared;
  const Lanes<kRows> lane;
  const int tiles = (a.q_len + kRows - 1) / kRows;
  const BlockIndex block = block_index(tiles, a.h);
  const int first_q = (tiles - 1 - block.tile) * kRows;  // the longest causal tile first
  const Head q = head_of(a.q, a.element, block.b, block.h);
  const Head k = head_of(a.k, a.element, block.b, block.h / a.group);
  const Head v = head_of(a.v, a.element, block.b, block.h / a.group);

  const float sign = a.scale < 0 ? -1.0f : 1.0f;
  KeyRange sees[kOwnRows];
  float max[kOwnRows], sum[kOwnRows];
  Sums<kRows, kPaddedD> o = {};
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) {
    sees[i] = keys(a, block.b, min(first_q + lane.row(i), a.q_len - 1));
    max[i] = -INFINITY;
    sum[i] = 0;
  }
  const auto query = [&](int r) { return first_q + r < a.q_len ? first_q + r : -1; };
  const int end = keys(a, block.b, min(first_q + kRows, a.q_len) - 1).end;
  for (int first = first_tile(a, block.b, first_q); first < end; first += kColumns) {
    const auto key = [&](int c) { return first + c < end ? key_row(a, block.b, first + c) : -1; };
    Scores<kRows> s;
    multiply<kRows>(s, shared, q, query, k, key, a.d);
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
      const float factor = absorb(s[i], first, sees[i], sign, a.scale_log2, max[i], sum[i]);
      rescale<kRows, kPaddedD>(o, i, factor);
    }
    store_weights<kRows>(shared, s);
    add_weighted<kRows, kPaddedD>(o, shared, v, key, a.d);
  }

  store<kRows, kPaddedD>(o, head_of(a.o, a.element, block.b, block.h), query,
                         [&](int i) { return sum[i] > 0 ? 1 / sum[i] : 0.0f; });
  const std::int64_t values = (static_cast<std::int64_t>(block.b) * a.h + block.h) * a.q_len;
  for (int i = 0; i < kOwnRows; ++i) {
    if (lane.tx != 0 || query(lane.row(i)) < 0) continue;
    const std::int64_t at = values + first_q + lane.row(i);
    const bool sees_some = sum[i] > 0;
    a.lse[at] = sees_some ? (max[i] * fabsf(a.scale_log2) + log2f(sum[i])) * kLn2 : -INFINITY;
    if (a.row_max == nullptr) continue;
    a.row_max[at] = sees_some ? sign * max[i] : 0.0f;
    a.row_log2_sum[at] = sees_some ? log2f(sum[i]) : INFINITY;
  }
}

}  // namespace
}  // namespace flashbench::cuda::simt

#define FLASHBENCH_SIMT_FORWARD(D)                                                   \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::simt::kThreads, 1)  \
      simt_f32_forward_d##D(const __grid_constant__ flashbench::cuda::Attention a) { \
    flashbench::cuda::simt::forward<D>(a);                                           \
  }

FLASHBENCH_SIMT_FORWARD(64)
FLASHBENCH_SIMT_FORWARD(128)
FLASHBENCH_SIMT_FORWARD(256)
FLASHBENCH_SIMT_FORWARD(512)
FLASHBENCH_SIMT_FORWARD(1024)

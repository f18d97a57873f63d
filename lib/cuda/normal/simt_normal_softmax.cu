#include "cuda/fragments/sinks.cuh"
#include "cuda/fragments/warp.cuh"
#include "cuda/normal/simt_normal_scores.cuh"

// Normal attention, between its two products: masks the scores, which come times scale·log2(e), and
// turns each row into weights in its place. The general kernel changes them
// first (ScoreChange) and knows of sinks.
// Every pair is read and written, hidden ones as zero: 8 bytes of memory a pair in f32, 6 where the
// weights are 16-bit; a row beyond kBlockColumns is read a second time, through L2.
namespace flashbench::cuda::normal {
namespace {

/// Which keys a query sees.
struct RowMask {
  KeyRange seen;             ///< of these keys
  const std::uint8_t* kept;  ///< those whose byte is 1; null: all
};

__device__ RowMask mask_of(const Attention& a, std::int64_t row) {
  const RowIndex at = index_of(a, row);
  return {a.mask.keys(at.q),
          a.key_mask == nullptr ? nullptr : a.key_mask + at.b * a.key_mask_stride};
}

__device__ float4 hide_unless(bool x, bool y, bool z, bool w, float4 s) {
  return make_float4(x ? s.x : -INFINITY, y ? s.y : -INFINITY, z ? s.z : -INFINITY,
                     w ? s.w : -INFINITY);
}

/// Reads a chunk of a row; what is hidden or beyond the row is -inf. `slopes`: where those of the
/// scores go.
template <int kTeam, Variant kVariant>
__device__ void load_masked(float4 (&s)[kVectors], const Attention& a, const float* row, int first,
                            const RowMask& mask, const RowChange& change, float* slopes) {
  load<kTeam>(s, row, first, a.kv_len);
  if constexpr (kVariant == Variant::kGeneral) change_scores<kTeam>(s, a, change, first, slopes);
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int k = Team<kTeam>::column(first, v);
    s[v] = hide_unless(mask.seen.holds(k), mask.seen.holds(k + 1), mask.seen.holds(k + 2),
                       mask.seen.holds(k + 3), s[v]);
  }
  if (mask.kept == nullptr) return;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int k = Team<kTeam>::column(first, v);
    uchar4 keep = make_uchar4(0, 0, 0, 0);
    if (k < a.kv_len) keep = *reinterpret_cast<const uchar4*>(mask.kept + k);
    s[v] = hide_unless(keep.x != 0, keep.y != 0, keep.z != 0, keep.w != 0, s[v]);
  }
}

/// Adds a thread's part of a chunk to its running maximum and sum.
template <Variant kVariant>
__device__ void absorb(const float4 (&s)[kVectors], float factor, float& max, float& sum) {
  const auto exp = [&](float difference) { return exp_of<kVariant>(difference, factor); };
  float new_max = max;
#pragma unroll
  for (int v = 0; v < kVectors; ++v)
    new_max = fmaxf(new_max, fmaxf(fmaxf(s[v].x, s[v].y), fmaxf(s[v].z, s[v].w)));
  if (new_max == -INFINITY) return;  // nothing visible yet: (-inf) - (-inf) is NaN
  float chunk_sum = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v)
    chunk_sum += exp(s[v].x - new_max) + exp(s[v].y - new_max) + exp(s[v].z - new_max) +
                 exp(s[v].w - new_max);
  sum = sum * exp(max - new_max) + chunk_sum;
  max = new_max;
}

/// exp of differences to the maximum, times `share`.
template <Variant kVariant>
__device__ float4 weights(float4 s, float max, float factor, float share) {
  const auto exp = [&](float x) { return exp_of<kVariant>(x - max, factor) * share; };
  return make_float4(exp(s.x), exp(s.y), exp(s.z), exp(s.w));
}

/// LSE of a row, with the sink where there are any; then `share`, which was 1 over the keys' sum,
/// is 1 over that of all.
__device__ float end_row(const Attention& a, std::int64_t row, float max, float sum, bool empty,
                         float& share) {
  const float log2_sum = log2f(sum);
  if (a.sinks == nullptr)
    return empty ? -INFINITY : fmaf(max, a.scale_log2, log2_sum) * fragments::kLn2;
  const float sink = a.sinks[index_of(a, row).h];
  if (empty) return sink;
  const auto effect = fragments::sink_effect(sink, max, a.scale_log2, log2_sum);
  share *= effect.keys;
  return effect.lse;
}

template <typename T, int kTeam, Variant kVariant>
__device__ void softmax(const Attention& a) {
  using RowTeam = Team<kTeam>;
  const std::int64_t row = RowTeam::row();
  if (row >= std::int64_t{a.b} * a.h * a.q_len) return;
  const RowMask mask = mask_of(a, row);
  float* const scores = a.scores + row * a.scores_stride;
  const RowChange change =
      kVariant == Variant::kPlain ? RowChange{} : change_of(a, index_of(a, row));
  float* const slopes = kVariant == Variant::kPlain ? nullptr : slopes_of(a, row);
  float4 s[kVectors];
  float own_max = -INFINITY, own_sum = 0;
  for (int first = 0; first < a.kv_len; first += RowTeam::kChunk) {
    load_masked<kTeam, kVariant>(s, a, scores, first, mask, change, slopes);
    absorb<kVariant>(s, a.scale_log2, own_max, own_sum);
  }
  const float row_max = RowTeam::max(own_max);
  const bool empty = row_max == -INFINITY;
  const float max = empty ? 0.0f : row_max;
  const float sum = RowTeam::sum(own_sum * exp_of<kVariant>(own_max - max, a.scale_log2));
  float share = empty ? 0.0f : kWeightScale<T> / sum;
  float lse = 0.0f;
  if constexpr (kVariant == Variant::kGeneral) lse = end_row(a, row, max, sum, empty, share);
  for (int first = 0; first < a.kv_len; first += RowTeam::kChunk) {
    if (a.kv_len > RowTeam::kChunk)
      load_masked<kTeam, kVariant>(s, a, scores, first, mask, change, nullptr);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) s[v] = weights<kVariant>(s[v], max, a.scale_log2, share);
    store<T, kTeam>(s, scores, first, a.kv_len);
  }
  if (RowTeam::thread() != 0) return;
  if constexpr (kVariant == Variant::kPlain)
    lse = empty ? -INFINITY : (max + log2f(sum)) * fragments::kLn2;
  a.lse[row] = lse;
}

}  // namespace
}  // namespace flashbench::cuda::normal

#define FLASHBENCH_NORMAL_SOFTMAX(NAME, VARIANT, T, TEAM, THREADS)                            \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::normal::kThreads)            \
      normal_softmax_##NAME##_##TEAM(const __grid_constant__ flashbench::cuda::Attention a) { \
    flashbench::cuda::normal::softmax<T, THREADS, flashbench::cuda::Variant::VARIANT>(a);     \
  }
#define FLASHBENCH_NORMAL_SOFTMAX_OF(ELEMENT, T, TEAM, THREADS) \
  FLASHBENCH_NORMAL_SOFTMAX(ELEMENT, kPlain, T, TEAM, THREADS)  \
  FLASHBENCH_NORMAL_SOFTMAX(general_##ELEMENT, kGeneral, T, TEAM, THREADS)

FLASHBENCH_NORMAL_SOFTMAX_OF(f32, float, warp, 32)
FLASHBENCH_NORMAL_SOFTMAX_OF(bf16, flashbench::Bf16, warp, 32)
FLASHBENCH_NORMAL_SOFTMAX_OF(f16, flashbench::F16, warp, 32)
FLASHBENCH_NORMAL_SOFTMAX_OF(f32, float, block, 256)
FLASHBENCH_NORMAL_SOFTMAX_OF(bf16, flashbench::Bf16, block, 256)
FLASHBENCH_NORMAL_SOFTMAX_OF(f16, flashbench::F16, block, 256)

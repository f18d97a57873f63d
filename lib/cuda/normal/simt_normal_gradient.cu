#include "cuda/fragments/sinks.cuh"
#include "cuda/normal/simt_normal_scores.cuh"

// Normal attention's backward, between its products: dS = P o (dP - D) in the place of dP. D is
// rowsum(dO o O), which is rowsum(P o dP) without a pass over the row: 2 d elements instead of
// 2 kv_len. Hidden pairs have P = 0, so that no mask is needed; their dP is finite, since hidden
// rows of V are zero. 12 bytes of memory a pair in f32, 8 where P and dS are 16-bit.
namespace flashbench::cuda::normal {
namespace {

template <typename T>
__device__ const T* row_at(const Rows& rows, const RowIndex& at) {
  return static_cast<const T*>(rows.data) + at.b * rows.stride_b + at.h * rows.stride_h +
         at.q * rows.stride_row;
}

/// A thread's part of D.
template <typename T, int kTeam>
__device__ float delta_part(const Attention& a, const RowIndex& at) {
  const T* const o = row_at<T>(a.o, at);
  const T* const d_o = row_at<T>(a.d_o, at);
  float sum = 0;
  for (int column = Team<kTeam>::thread() * 4; column < a.o.stride_row; column += kTeam * 4)
    sum = simt::dot(widen(*reinterpret_cast<const Four<T>*>(o + column)),
                    widen(*reinterpret_cast<const Four<T>*>(d_o + column)), sum);
  return sum;
}

template <typename T>
__device__ float gradient(T weight, float dp, float delta) {
  const float p = widen(weight) * (1 / kWeightScale<T>);
  return p * (dp - delta);
}

template <typename T>
__device__ float4 gradient(const Four<T>& p, float4 dp, float delta) {
  return make_float4(gradient(p.x, dp.x, delta), gradient(p.y, dp.y, delta),
                     gradient(p.z, dp.z, delta), gradient(p.w, dp.w, delta));
}

/// Multiplies a chunk of dS by the slopes of the scores.
template <int kTeam>
__device__ void multiply_by_slopes(float4 (&ds)[kVectors], const float* slopes, int first,
                                   int kv_len) {
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = Team<kTeam>::column(first, v);
    if (column >= kv_len) continue;
    const float4 slope = reinterpret_cast<const float4*>(slopes)[column / 4];
    ds[v] = make_float4(ds[v].x * slope.x, ds[v].y * slope.y, ds[v].z * slope.z, ds[v].w * slope.w);
  }
}

template <typename T, int kTeam, Variant kVariant>
__device__ void scores_gradient(const Attention& a) {
  using RowTeam = Team<kTeam>;
  const std::int64_t row = RowTeam::row();
  if (row >= std::int64_t{a.b} * a.h * a.q_len) return;
  const float delta = RowTeam::sum(delta_part<T, kTeam>(a, index_of(a, row)));
  if constexpr (kVariant == Variant::kGeneral)
    if (a.delta != nullptr && RowTeam::thread() == 0) a.delta[row] = delta;
  const auto* const p = reinterpret_cast<const Four<T>*>(a.scores + row * a.scores_stride);
  float* const dp = a.score_gradients + row * a.scores_stride;
  for (int first = 0; first < a.kv_len; first += RowTeam::kChunk) {
    float4 ds[kVectors];
    Four<T> weights[kVectors];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int column = RowTeam::column(first, v);
      weights[v] = {};
      if (column < a.kv_len) weights[v] = p[column / 4];
    }
    load<kTeam>(ds, dp, first, a.kv_len);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) ds[v] = gradient(weights[v], ds[v], delta);
    if constexpr (kVariant == Variant::kGeneral)
      if (a.change.capped != 0) multiply_by_slopes<kTeam>(ds, slopes_of(a, row), first, a.kv_len);
    store<T, kTeam>(ds, dp, first, a.kv_len);
  }
}

}  // namespace
}  // namespace flashbench::cuda::normal

#define FLASHBENCH_NORMAL_GRADIENT(NAME, VARIANT, T, TEAM, THREADS)                               \
  extern "C" __global__ void __launch_bounds__(flashbench::cuda::normal::kThreads)                \
      normal_gradient_##NAME##_##TEAM(const __grid_constant__ flashbench::cuda::Attention a) {    \
    flashbench::cuda::normal::scores_gradient<T, THREADS, flashbench::cuda::Variant::VARIANT>(a); \
  }
#define FLASHBENCH_NORMAL_GRADIENT_OF(ELEMENT, T, TEAM, THREADS) \
  FLASHBENCH_NORMAL_GRADIENT(ELEMENT, kPlain, T, TEAM, THREADS)  \
  FLASHBENCH_NORMAL_GRADIENT(general_##ELEMENT, kGeneral, T, TEAM, THREADS)

FLASHBENCH_NORMAL_GRADIENT_OF(f32, float, warp, 32)
FLASHBENCH_NORMAL_GRADIENT_OF(bf16, flashbench::Bf16, warp, 32)
FLASHBENCH_NORMAL_GRADIENT_OF(f16, flashbench::F16, warp, 32)
FLASHBENCH_NORMAL_GRADIENT_OF(f32, float, block, 256)
FLASHBENCH_NORMAL_GRADIENT_OF(bf16, flashbench::Bf16, block, 256)
FLASHBENCH_NORMAL_GRADIENT_OF(f16, flashbench::F16, block, 256)

extern "C" __global__ void __launch_bounds__(flashbench::cuda::kSinkThreads)
    normal_dsinks(const __grid_constant__ flashbench::cuda::Attention a) {
  flashbench::cuda::fragments::sink_gradient(a);
}

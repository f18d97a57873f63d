#pragma once

#include <type_traits>

#include "cuda/fragments/softmax.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_tile.cuh"

/// Softmax of one tile of scores in the registers of a warpgroup, in two steps: what comes before
/// the exponentials, and the exponentials with all that hides under them. And how the gradients
/// make its weights again.
namespace flashbench::cuda::wgmma_sm90a {

using fragments::exp2_fast;
using fragments::kInf;
using fragments::RunningSoftmax;

/// How far, in log2, a row's scores may rise above the maximum in use before that is updated. So O
/// and the sum are rescaled in few tiles only; P, up to 2^8, is as exact as below 1.
constexpr float kRescaleThreshold = 8.0f;

/// Exponents stay that far below 0 until scores rise above the maximum in use, so that sums in
/// bf16, whose values may be as large as f32's, overflow no sooner than those of exact maxima. In
/// f16 no sum overflows, and small P would lose digits.
template <typename T>
constexpr float kHeadroom = std::is_same_v<T, fragments::Bf16> ? kRescaleThreshold : 0.0f;

/// Updates the maxima in use where the scores of a tile rose above them by more than
/// kRescaleThreshold, and rescales the sums. False where no row of the warp did; else `rescale` has
/// the factors for O of a thread's two rows.
template <typename T, int kKeys>
__device__ __forceinline__ bool update_maxima(const Fragments<1, kKeys>& s,
                                              RunningSoftmax<1>& state, float scale_log2,
                                              float (&rescale)[2]) {
  float max[2];
  bool rises[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float in_use = state.max[0][half];
    float chains[4] = {in_use, -kInf, -kInf, -kInf};  // four chains: a quarter of the latency
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
      chains[n % 4] = fmaxf(chains[n % 4], fmaxf(s[0][n][2 * half], s[0][n][2 * half + 1]));
    max[half] = fragments::max_of_four_lanes(
        fmaxf(fmaxf(chains[0], chains[1]), fmaxf(chains[2], chains[3])));
    // False for a row that has seen nothing: (-inf) - (-inf) is NaN.
    rises[half] = (max[half] - in_use) * scale_log2 > kRescaleThreshold;
  }
  if (!__any_sync(0xffffffffu, rises[0] || rises[1])) return false;
#pragma unroll
  for (int half = 0; half < 2; ++half)
    rescale[half] = rises[half] ? state.raise(0, half, max[half], scale_log2, kHeadroom<T>) : 1.0f;
  return true;
}

/// Scores become P = exp2(factor·s - shift), and are added to the sums. Both rows in one pass:
/// an exponential occupies its pipe for 8 cycles, in which the additions of those before it, and
/// the rounding of P where that is in the same basic block, cost nothing.
template <int kKeys>
__device__ __forceinline__ void exponentiate(Fragments<1, kKeys>& s, RunningSoftmax<1>& state) {
  float sum[2][2] = {{state.sum[0][0], 0.0f}, {state.sum[0][1], 0.0f}};  // two chains a row
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      float& x = s[0][n][c];
      x = exp2_fast(fmaf(x, state.by[0][c / 2].factor, -state.by[0][c / 2].shift));
      sum[c / 2][c % 2] += x;
    }
#pragma unroll
  for (int half = 0; half < 2; ++half) state.sum[0][half] = sum[half][0] + sum[half][1];
}

/// Scoresᵀ become Pᵀ: queries are columns, whose shifts lie in shared memory.
template <int kColumns>
__device__ __forceinline__ void recompute_p_transposed(Fragments<1, kColumns>& s,
                                                       std::uint32_t shifts, float scale_log2) {
  const auto column = static_cast<std::uint32_t>(fragments::fragment_column() * 4);
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
    const float2 shift = fragments::load_shared_pair(shifts + column + 32 * n);
#pragma unroll
    for (int c = 0; c < 4; c += 2) {
      s[0][n][c] = fragments::weight(s[0][n][c], scale_log2, shift.x);
      s[0][n][c + 1] = fragments::weight(s[0][n][c + 1], scale_log2, shift.y);
    }
  }
}

}  // namespace flashbench::cuda::wgmma_sm90a

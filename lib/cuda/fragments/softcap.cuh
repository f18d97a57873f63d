#pragma once

#include "cuda/fragments/warp.cuh"

/// Soft caps, on any architecture.
namespace flashbench::cuda::fragments {

/// 1 / x with a relative error of 2^-23; exactly 0 for +inf.
__device__ __forceinline__ float reciprocal_fast(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// tanh(x) within some 2 ulp, odd to the bit, NaN for NaN. 1 - 2/(e^2x + 1) would cancel near 0: an
/// odd polynomial stands there. (tanh.approx, whose error is 2^-11, would be seen in P.) Both sides
/// are computed, so that lanes do not part.
__device__ __forceinline__ float tanh_of(float x) {
  const float square = x * x, size = fabsf(x);
  float p = fmaf(-5.849558e-3f, square, 2.0759519e-2f);
  p = fmaf(p, square, -5.3773728e-2f);
  p = fmaf(p, square, 1.3331819e-1f);
  p = fmaf(p, square, -3.3333296e-1f);
  const float near = fmaf(p * square, x, x);
  constexpr float kTwoLog2E = 2.885390081777927f;
  const float far = fmaf(-2.0f, reciprocal_fast(exp2_fast(size * kTwoLog2E) + 1.0f), 1.0f);
  return size < 0.6f ? near : copysignf(far, x);
}

/// The derivative of tanh where it is `t`.
__device__ __forceinline__ float slope_of_tanh(float t) { return fmaf(-t, t, 1.0f); }

}  // namespace flashbench::cuda::fragments

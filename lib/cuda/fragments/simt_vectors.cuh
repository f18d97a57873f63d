#pragma once

#include "core/dtype.h"

// Four neighbouring elements of any dtype, moved as one and computed in f32.
namespace flashbench::cuda::simt {

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(Bf16 x) { return to_f32(x); }
__device__ inline float widen(F16 x) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
  return wide;
}

/// Four neighbouring elements, moved as one.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T x, y, z, w;
};

template <typename T>
__device__ inline float4 widen(const Four<T>& v) {
  return make_float4(widen(v.x), widen(v.y), widen(v.z), widen(v.w));
}

/// Rounded to nearest even. bf16 in integer arithmetic: its conversion came with 8.0.
template <typename T>
__device__ inline T narrow(float x) {
  return from_f32<T>(x);
}
template <>
__device__ inline F16 narrow<F16>(float x) {
  F16 half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(x));
  return half;
}

template <typename T>
__device__ inline Four<T> narrow(float4 v) {
  return {narrow<T>(v.x), narrow<T>(v.y), narrow<T>(v.z), narrow<T>(v.w)};
}

__device__ inline float dot(float4 a, float4 b, float sum) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

}  // namespace flashbench::cuda::simt

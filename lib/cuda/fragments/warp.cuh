#pragma once

/// What every family asks of a thread and of its warp, on any architecture.
namespace flashbench::cuda::fragments {

constexpr float kInf = __builtin_huge_valf();
constexpr float kLn2 = 0.6931471805599453f;

/// The same number, of unknown origin to the compiler: what is computed from it is computed again
/// where it is used, not hoisted out of a loop and kept in a register. The three instructions of an
/// address are cheaper than a register.
template <typename T>
__device__ __forceinline__ T rematerialized(T x) {
  asm volatile("" : "+r"(x));
  return x;
}

__device__ __forceinline__ unsigned thread() { return rematerialized(threadIdx.x); }
__device__ __forceinline__ int lane() { return static_cast<int>(thread() % 32); }
__device__ __forceinline__ int warp() { return static_cast<int>(thread() / 32); }

__device__ __forceinline__ float max_of_lanes(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}

__device__ __forceinline__ float sum_of_lanes(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

/// 2^x with a relative error of 2^-22; exactly 0 for -inf.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace flashbench::cuda::fragments

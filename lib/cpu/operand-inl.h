// What products multiply: words of 32 bits along the dimension that is summed over. Once per
// Highway target: see tile_ops_simd.cc.
#if defined(FLASHBENCH_CPU_OPERAND_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_OPERAND_INL_H_
#undef FLASHBENCH_CPU_OPERAND_INL_H_
#else
#define FLASHBENCH_CPU_OPERAND_INL_H_
#endif

#include <hwy/highway.h>

#include "core/dtype.h"
#include "cpu/rows-inl.h"
#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// A word is one f32.
struct F32Word {
  using Element = float;

  static HWY_INLINE VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) {
    return hn::MulAdd(a, b, sum);
  }
  /// Stores f32 x as elements [at, at + lanes) of a row of an A operand.
  static HWY_INLINE void store(VecF32 x, float* row, std::int64_t at) {
    hn::StoreU(x, F32(), row + at);
  }
  /// A row of f32 is a row of an A operand as it is.
  static void row_to_operand(float*, std::int64_t) {}
  static double multiply_adds(std::int64_t iterations, float* sink) {
    return HWY_NAMESPACE::multiply_adds(iterations, sink);
  }
};

#if HWY_TARGET == HWY_AVX3
/// A word is two neighbours in bf16 (the first in the low half); a product adds both to an f32
/// lane. Needs AVX512_BF16. Highway 1.0.3 has no target with it; two instructions in assembly need
/// none, so that everything else is the code of the AVX3 pass, with every compiler.
struct Bf16Pair {
  using Element = Bf16;

  static HWY_INLINE VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
  /// Rounds to nearest even.
  static HWY_INLINE void store(VecF32 x, float* row, std::int64_t at) {
    __m256i narrow;
    asm("vcvtneps2bf16 %1, %0" : "=v"(narrow) : "v"(x.raw));
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(reinterpret_cast<std::byte*>(row) + at * sizeof(Element)),
        narrow);
  }
  static HWY_ATTR void row_to_operand(float* row, std::int64_t n) {
    const F32 f32;
    const std::int64_t lanes = vector_lanes();
    // A vector's bf16 lie no further on than its f32 did: nothing is overwritten before it is read.
    for (std::int64_t i = 0; i < n; i += lanes) {
      const auto here = hn::FirstN(f32, static_cast<std::size_t>(std::min(lanes, n - i)));
      store(hn::IfThenElseZero(here, hn::LoadU(f32, row + i)), row, i);
    }
  }
  static HWY_ATTR double multiply_adds(std::int64_t iterations, float* sink) {
    constexpr int kChains = 24;  // 2 a cycle x 6 cycles of latency (Zen 5), and slack
    const F32 f32;
    VecF32 sum[kChains];
    const auto a = hn::BitCast(f32, hn::Set(hn::RebindToUnsigned<F32>(), 0xbf803f80u));  // (1, -1)
    const auto b =
        hn::BitCast(f32, hn::Set(hn::RebindToUnsigned<F32>(), 0x3f403f40u));  // (.75, .75)
#pragma GCC unroll 32
    for (int c = 0; c < kChains; ++c) sum[c] = hn::Set(f32, 1.0f + 0.01f * static_cast<float>(c));
    for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 32
      for (int c = 0; c < kChains; ++c) sum[c] = multiply_add(a, b, sum[c]);
    }
#pragma GCC unroll 32
    for (int c = 1; c < kChains; ++c) sum[0] = hn::Add(sum[0], sum[c]);
    *sink = hn::GetLane(hn::SumOfLanes(f32, sum[0]));
    return 4.0 * kChains * static_cast<double>(vector_lanes()) * static_cast<double>(iterations);
  }
};
#endif

template <typename Operand>
inline constexpr std::int64_t kPerWord =
    static_cast<std::int64_t>(sizeof(float) / sizeof(typename Operand::Element));

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

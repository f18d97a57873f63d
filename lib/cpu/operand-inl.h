// The two kinds of operand: 32-bit words of one f32 or of two bf16 (MatrixA in tile_ops.h).
// Compiled once per Highway target: see tile_ops-inl.h.
#if defined(FLASHBENCH_CPU_OPERAND_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_OPERAND_INL_H_
#undef FLASHBENCH_CPU_OPERAND_INL_H_
#else
#define FLASHBENCH_CPU_OPERAND_INL_H_
#endif

#include <hwy/highway.h>

#include <bit>
#include <cstring>

#include "core/dtype.h"
#include "cpu/rows-inl.h"
#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// A word is one f32. Both kinds have the same functions, so that products are written once.
struct F32Word {
  using Element = float;

  static HWY_INLINE VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) {
    return hn::MulAdd(a, b, sum);
  }
  /// Stores f32 x as elements [at, at + lanes) of a row of an A operand.
  static HWY_INLINE void store(VecF32 x, float* row, std::int64_t at) {
    hn::StoreU(x, F32(), row + at);
  }
  /// Rows of f32 to the words of an operand that is summed over rows: a word holds element j of
  /// kRowsPerWord consecutive rows.
  static constexpr int kRowsPerWord = 1;
  static HWY_INLINE void store_rows(const VecF32 (&x)[1], float* words) {
    hn::StoreU(x[0], F32(), words);
  }
  static HWY_INLINE void load_rows(const float* words, VecF32 (&x)[1]) {
    x[0] = hn::LoadU(F32(), words);
  }
  /// Nothing to do: a row of f32 already is a row of an A operand, in whole words.
  static void row_to_operand(float*, std::int64_t) {}
  static HWY_INLINE void end_row(float*, std::int64_t) {}
  static double multiply_adds(std::int64_t iterations, float* sink) {
    return HWY_NAMESPACE::multiply_adds(iterations, sink);
  }
};

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_SCALAR
/// The parts of a word of two bf16 as f32.
HWY_INLINE VecF32 low_half(VecF32 words) {
  const hn::RebindToUnsigned<F32> u32;
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::BitCast(u32, words)));
}
HWY_INLINE VecF32 high_half(VecF32 words) {
  const hn::RebindToUnsigned<F32> u32;
  return hn::BitCast(F32(), hn::And(hn::BitCast(u32, words), hn::Set(u32, 0xffff0000u)));
}

/// A word is two neighbours in bf16, the first in the low half; vdpbf16ps adds both products to an
/// f32 lane. Needs AVX512_BF16, for which Highway 1.0.3 has no target: its two instructions are
/// written in assembly, and all else is compiled for AVX3 (AVX-512), which every compiler can. The
/// scalar form computes the same step by step, so that tests run the drivers on pairs anywhere.
struct Bf16Pair {
  using Element = Bf16;

#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
  /// Rounds to nearest even.
  static HWY_INLINE __m256i narrow(VecF32 x) {
    __m256i rounded;
    asm("vcvtneps2bf16 %1, %0" : "=v"(rounded) : "v"(x.raw));
    return rounded;
  }
  static HWY_INLINE void store(VecF32 x, float* row, std::int64_t at) {
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(reinterpret_cast<std::byte*>(row) + at * sizeof(Element)),
        narrow(x));
  }
  static HWY_INLINE VecF32 pair(VecF32 low, VecF32 high) {
    const __m512i low_words = _mm512_cvtepu16_epi32(narrow(low));
    const __m512i high_words = _mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow(high)), 16);
    return VecF32{_mm512_castsi512_ps(_mm512_or_si512(low_words, high_words))};
  }
  /// 2·lanes elements.
  static HWY_INLINE VecF32 load_pairs(const Bf16* p) { return VecF32{_mm512_loadu_ps(p)}; }
  /// lanes elements, then zeros.
  static HWY_INLINE VecF32 load_half(const Bf16* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return VecF32{_mm512_castsi512_ps(_mm512_zextsi256_si512(half))};
  }
#else
  static HWY_INLINE VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) {
    return hn::MulAdd(high_half(a), high_half(b), hn::MulAdd(low_half(a), low_half(b), sum));
  }
  static HWY_INLINE void store(VecF32 x, float* row, std::int64_t at) {
    const Bf16 rounded = to_bf16(hn::GetLane(x));
    std::memcpy(reinterpret_cast<std::byte*>(row) + at * static_cast<std::int64_t>(sizeof rounded),
                &rounded, sizeof rounded);
  }
  static HWY_INLINE VecF32 pair(VecF32 low, VecF32 high) {
    const std::uint32_t low_bits = to_bf16(hn::GetLane(low)).bits;
    const std::uint32_t high_bits = to_bf16(hn::GetLane(high)).bits;
    return hn::Set(F32(), std::bit_cast<float>(low_bits | high_bits << 16));
  }
  static HWY_INLINE VecF32 load_pairs(const Bf16* p) {
    return hn::Set(F32(), std::bit_cast<float>(std::uint32_t{p[0].bits} |
                                               static_cast<std::uint32_t>(p[1].bits) << 16));
  }
  static HWY_INLINE VecF32 load_half(const Bf16* p) {
    return hn::Set(F32(), std::bit_cast<float>(std::uint32_t{p[0].bits}));
  }
#endif
  static constexpr int kRowsPerWord = 2;
  static HWY_INLINE void store_rows(const VecF32 (&x)[2], float* words) {
    hn::StoreU(pair(x[0], x[1]), F32(), words);
  }
  static HWY_INLINE void load_rows(const float* words, VecF32 (&x)[2]) {
    const VecF32 both = hn::LoadU(F32(), words);
    x[0] = low_half(both);
    x[1] = high_half(both);
  }
  static HWY_ATTR void row_to_operand(float* row, std::int64_t n) {
    const F32 f32;
    const std::int64_t lanes = vector_lanes();
    // In place: the bf16 of a vector end before its f32 do, so nothing unread is overwritten.
    for (std::int64_t i = 0; i < n; i += lanes) {
      const auto here = hn::FirstN(f32, static_cast<std::size_t>(std::min(lanes, n - i)));
      store(hn::IfThenElseZero(here, hn::LoadU(f32, row + i)), row, i);
    }
    end_row(row, n);
  }
  /// Clears the unused half of the last word of n elements. Vectors of several lanes have done so
  /// already: what they store beyond n is 0.
  static HWY_INLINE void end_row(float* row, std::int64_t n) {
    if (vector_lanes() == 1 && n % 2 != 0) store(hn::Zero(F32()), row, n);
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

/// The words of a chain.
template <typename Operand>
inline constexpr std::int64_t kLongestChainWords = kLongestChain / kPerWord<Operand>;

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

// Elements of 8 bits as pairs of bf16, which hold them exactly. Once per Highway target: see
// tile_ops-inl.h.
#if defined(FLASHBENCH_CPU_EIGHT_BIT_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_EIGHT_BIT_PAIRS_INL_H_
#undef FLASHBENCH_CPU_EIGHT_BIT_PAIRS_INL_H_
#else
#define FLASHBENCH_CPU_EIGHT_BIT_PAIRS_INL_H_
#endif

#include <hwy/highway.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/dtype.h"
#include "cpu/operand-inl.h"
#include "cpu/rows-inl.h"
#include "cpu/stored-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Are elements of type T read through tables of bf16, 64 at a time?
template <typename Operand, typename T>
inline constexpr bool kByTable = HWY_TARGET == HWY_AVX3&& kPerWord<Operand> == 2 && kInPairs<T>;

#if HWY_TARGET == HWY_AVX3
/// Both bytes of the bf16 of each magnitude.
template <typename T>
struct Bf16Bytes {
  alignas(64) std::uint8_t upper[128], lower[128];

  constexpr Bf16Bytes() : upper(), lower() {
    for (unsigned i = 0; i < 128; ++i) {
      const auto bits = std::bit_cast<std::uint32_t>(to_f32(T{static_cast<std::uint8_t>(i)}));
      upper[i] = static_cast<std::uint8_t>(bits >> 24);
      lower[i] = static_cast<std::uint8_t>(bits >> 16);
    }
  }
};
template <typename T>
inline constexpr Bf16Bytes<T> kBf16Bytes;

/// 64 elements as words of two. Of each block of 16, `lower` holds the first eight and `upper` the
/// others: the order in which bytes interleave.
template <typename T>
struct Bf16Words {
  VecF32 lower, upper;

  /// The first `count` of them, then zeros.
  HWY_INLINE Bf16Words(const T* HWY_RESTRICT p, std::int64_t count)
      : Bf16Words(count >= 64 ? _mm512_loadu_si512(p)
                              : _mm512_maskz_loadu_epi8((std::uint64_t{1} << count) - 1, p)) {}

 private:
  HWY_INLINE explicit Bf16Words(__m512i bytes) {
    const __m512i sign = _mm512_and_si512(bytes, _mm512_set1_epi8(static_cast<char>(0x80)));
    const __m512i high = _mm512_or_si512(looked_up(bytes, kBf16Bytes<T>.upper), sign);
    const __m512i low = looked_up(bytes, kBf16Bytes<T>.lower);
    lower = VecF32{_mm512_castsi512_ps(_mm512_unpacklo_epi8(low, high))};
    upper = VecF32{_mm512_castsi512_ps(_mm512_unpackhi_epi8(low, high))};
  }
  /// By the lower seven bits of each byte. AVX512_VBMI, for which Highway 1.0.3 has no target of
  /// its own.
  static HWY_INLINE __m512i looked_up(__m512i bytes, const std::uint8_t (&table)[128]) {
    const __m512i first = _mm512_load_si512(table), second = _mm512_load_si512(table + 64);
    asm("vpermi2b %2, %1, %0" : "+v"(bytes) : "v"(first), "v"(second));
    return bytes;
  }
};

/// 64 elements as four vectors of f32: of each half of Bf16Words the even ones and the odd ones.
template <typename T>
HWY_INLINE void load_words(const T* HWY_RESTRICT p, VecF32* x) {
  const Bf16Words<T> words(p, 64);
  x[0] = low_half(words.lower);
  x[1] = high_half(words.lower);
  x[2] = low_half(words.upper);
  x[3] = high_half(words.upper);
}

/// A row of a pairs operand in the order of Bf16Words.
HWY_INLINE void order_pairs(std::int64_t d, const float* HWY_RESTRICT a, float* HWY_RESTRICT to) {
  constexpr std::int64_t kEight = 4;  // words
  for (std::int64_t block = 0; block * 16 < round_up(d, 64); ++block)
    for (std::int64_t half = 0; half < 2; ++half) {
      float* at = to + block / 4 * 32 + half * 16 + block % 4 * kEight;
      const std::int64_t from = (2 * block + half) * kEight;
      if (2 * from < d)
        std::memcpy(at, a + from, kEight * sizeof(float));
      else
        std::memset(at, 0, kEight * sizeof(float));
    }
}

/// Four sums, as load_words has their terms, are added to 64 floats of c.
HWY_INLINE void add_words(const VecF32* sum, float* HWY_RESTRICT c) {
  const F32 f32;
  const hn::FixedTag<float, 4> quad;
  HWY_ALIGN float quads[4][16];
  for (int half = 0; half < 2; ++half) {
    const VecF32 even = sum[2 * half], odd = sum[2 * half + 1];
    hn::Store(hn::InterleaveLower(f32, even, odd), f32, quads[2 * half]);
    hn::Store(hn::InterleaveUpper(f32, even, odd), f32, quads[2 * half + 1]);
  }
  for (int block = 0; block < 4; ++block)
    for (int k = 0; k < 4; ++k) {
      float* at = c + 16 * block + 4 * k;
      hn::StoreU(hn::Add(hn::Load(quad, quads[k] + 4 * block), hn::LoadU(quad, at)), quad, at);
    }
}
#else  // never called
template <typename T>
void load_words(const T* p, VecF32* x);
void order_pairs(std::int64_t d, const float* a, float* to);
void add_words(const VecF32* sum, float* c);
#endif

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

// Vectors of f32 from what tensors are stored in, once per Highway target: see tile_ops-inl.h.
#if defined(FLASHBENCH_CPU_STORED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_STORED_INL_H_
#undef FLASHBENCH_CPU_STORED_INL_H_
#else
#define FLASHBENCH_CPU_STORED_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <type_traits>

#include "cpu/rows-inl.h"
#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// As with_dtype(CpuKeyElements{}, t, f), but compiled for this target.
template <typename F>
HWY_INLINE void with_key_dtype(Dtype t, F&& f) {
  with_element(CpuKeyElements{}, t, f);
}

/// What a vector of load_f32 counts times. In the layout of an f16 an e4m3 is 2^8 times too small:
/// what is made of it is scaled once, where a sum ends, not each vector.
template <typename T>
inline constexpr float kUnit = std::is_same_v<T, E4m3> ? 0x1p8f : 1.0f;

/// A vector of numbers that are made of elements of type T, in the units that count.
template <typename T, typename D>
HWY_INLINE hn::Vec<D> in_units(D d, hn::Vec<D> x) {
  if constexpr (kUnit<T> == 1.0f)
    return x;
  else
    return hn::Mul(x, hn::Set(d, kUnit<T>));
}

/// 8 bits to the bits of an f16: exact, subnormals included, without a table. The NaN of e4m3
/// becomes a number, which is as good, since only rows that count for nothing may hold one.
template <typename T, typename D>
HWY_INLINE hn::Vec<D> widened(D i16, const T* HWY_RESTRICT p) {
  const hn::Rebind<std::int8_t, D> i8;
  const auto wide = hn::PromoteTo(i16, hn::LoadU(i8, reinterpret_cast<const std::int8_t*>(p)));
  if constexpr (std::is_same_v<T, E5m2>) return hn::ShiftLeft<8>(wide);
  // The sign, extended, is in the two upper bits; the exponent is one bit shorter.
  const auto without = hn::Set(i16, static_cast<std::int16_t>(0xbfff));
  return hn::And(hn::ShiftLeft<7>(wide), without);
}

/// 8-bit elements are best read a pair a word: the odd ones are in place, and none of the
/// conversions to a wider lane are needed, which cost more than shifts do.
template <typename T>
inline constexpr bool kInPairs = HWY_TARGET != HWY_SCALAR &&
                                 (std::is_same_v<T, E4m3> || std::is_same_v<T, E5m2>);

/// The upper byte of each word as the bits of an f16, and the lower one.
template <typename T, typename V>
HWY_INLINE V f16_of_upper(V words) {
  const hn::DFromV<V> i16;
  if constexpr (std::is_same_v<T, E5m2>)
    return hn::And(words, hn::Set(i16, static_cast<std::int16_t>(0xff00)));
  // The sign, extended, is in the two upper bits; the exponent is one bit shorter.
  return hn::And(hn::ShiftRight<1>(words), hn::Set(i16, static_cast<std::int16_t>(0xbf80)));
}
template <typename T, typename V>
HWY_INLINE V f16_of_lower(V words) {
  const hn::DFromV<V> i16;
  if constexpr (std::is_same_v<T, E5m2>) return hn::ShiftLeft<8>(words);
#if HWY_TARGET == HWY_AVX2
  // The byte times 2^7, in place of two shifts.
  const V times{_mm_maddubs_epi16(_mm_set1_epi16(0x80), words.raw)};
  return hn::And(times, hn::Set(i16, static_cast<std::int16_t>(0xbf80)));
#else
  return f16_of_upper<T>(hn::ShiftLeft<8>(words));
#endif
}

/// 2·lanes elements, as load_f32 has them: those of even and those of odd index.
template <typename T>
struct Pair {
  VecF32 even, odd;
  HWY_INLINE explicit Pair(const T* HWY_RESTRICT p) {
    const hn::Rebind<std::int16_t, F32> i16;
    const hn::Rebind<hwy::float16_t, F32> f16;
    const auto words = hn::LoadU(i16, reinterpret_cast<const std::int16_t*>(p));
    even = hn::PromoteTo(F32(), hn::BitCast(f16, f16_of_lower<T>(words)));
    odd = hn::PromoteTo(F32(), hn::BitCast(f16, f16_of_upper<T>(words)));
  }
};

/// A vector of f32, in units of kUnit<T>, from elements of type T.
template <typename T>
HWY_INLINE VecF32 load_f32(const T* HWY_RESTRICT p) {
  const F32 f32;
  if constexpr (std::is_same_v<T, float>) {
    return hn::LoadU(f32, p);
  } else if constexpr (std::is_same_v<T, Bf16>) {
    const hn::Rebind<hwy::bfloat16_t, F32> bf16;
    return hn::PromoteTo(f32, hn::LoadU(bf16, reinterpret_cast<const hwy::bfloat16_t*>(p)));
  } else {
    const hn::Rebind<hwy::float16_t, F32> f16;
    if constexpr (std::is_same_v<T, F16>)
      return hn::PromoteTo(f32, hn::LoadU(f16, reinterpret_cast<const hwy::float16_t*>(p)));
    else
      return hn::PromoteTo(f32, hn::BitCast(f16, widened(hn::Rebind<std::int16_t, F32>(), p)));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

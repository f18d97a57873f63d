// Operations on rows of a tile, once per Highway target: see tile_ops-inl.h.
#if defined(FLASHBENCH_CPU_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_ROWS_INL_H_
#undef FLASHBENCH_CPU_ROWS_INL_H_
#else
#define FLASHBENCH_CPU_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <numbers>

#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename F, typename... Ts>
HWY_INLINE void with_element(ElementTypes<Ts...>, Dtype t, F&& f) {
  ((t == kDtypeOf<Ts> && (f(Ts{}), true)) || ...);
}
/// As with_dtype(CpuElements{}, t, f), but compiled for this target.
template <typename F>
HWY_INLINE void with_cpu_dtype(Dtype t, F&& f) {
  with_element(CpuElements{}, t, f);
}

using F32 = hn::ScalableTag<float>;
using VecF32 = hn::Vec<F32>;

inline std::int64_t vector_lanes() { return static_cast<std::int64_t>(hn::Lanes(F32())); }

/// Clamps x to [low, high]; NaN stays NaN. That is so because the minimum and maximum of x86 return
/// their second operand if one is NaN, and NEON's return the NaN; Highway's scalar ones would
/// return the number.
HWY_INLINE VecF32 between(VecF32 low, VecF32 high, VecF32 x) {
#if HWY_TARGET == HWY_SCALAR
  const auto above = hn::IfThenElse(hn::Lt(x, low), low, x);
  return hn::IfThenElse(hn::Gt(above, high), high, above);
#else
  return hn::Min(high, hn::Max(low, x));
#endif
}

/// 2^x: x = n + f with n the nearest integer; a polynomial p(f) for 2^f with p(0) = 1; n is added
/// to the exponent. x < -126.5 gives 0, x > 127.5 infinity. The coefficients are those of Cephes'
/// exp2f: 0.9 ulp at most with fused multiply-add, 1.2 without. One degree less would save 0.5 % of
/// the forward at d = 64, and be off by 1.9 ulp, more often down than up.
/// Rounding: adding 1.5·2^23 + 127 leaves n, biased as an exponent is, in the low bits of the sum,
/// a fifth cheaper than Highway's Round and ConvertTo, which also handle overflow (Zen 3). AVX-512
/// has an instruction for either step.
HWY_INLINE VecF32 exp2(VecF32 x) {
  const F32 f32;
#if HWY_TARGET == HWY_AVX3
  const VecF32 f{_mm512_reduce_ps(x.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
#else
  const hn::RebindToUnsigned<F32> u32;
  const auto round_and_bias = hn::Set(f32, 0x1.8p23f + 127.0f);
  const auto clamped = between(hn::Set(f32, -127.0f), hn::Set(f32, 128.0f), x);
  const auto biased = hn::Add(clamped, round_and_bias);
  const auto f = hn::Sub(clamped, hn::Sub(biased, round_and_bias));
#endif
  constexpr float kTerms[] = {1.535336188e-4f,
                              1.339887440e-3f,
                              9.618437358e-3f,
                              5.550332471e-2f,
                              2.402264791e-1f,
                              6.931472029e-1f,
                              1.0f};
  auto p = hn::Set(f32, kTerms[0]);
#pragma GCC unroll 8
  for (std::size_t i = 1; i < sizeof(kTerms) / sizeof(float); ++i)
    p = hn::MulAdd(p, f, hn::Set(f32, kTerms[i]));
#if HWY_TARGET == HWY_AVX3
  const __mmask16 normal = _mm512_cmp_ps_mask(x.raw, _mm512_set1_ps(-126.0f), _CMP_NLT_UQ);
  return VecF32{_mm512_maskz_scalef_ps(normal, p.raw, hn::Sub(x, f).raw)};
#else
  return hn::Mul(p, hn::BitCast(f32, hn::ShiftLeft<23>(hn::BitCast(u32, biased))));
#endif
}

/// tanh(x / 2), within 1.7 ulp (2 without fused multiply-add): an odd polynomial where 1 - 2/(e^x +
/// 1) would cancel.
HWY_INLINE VecF32 tanh_of_half(VecF32 x) {
  constexpr float kPolynomialBelow = 1.2f;
  constexpr float kTerms[] = {-2.8562297e-6f, 4.0545936e-5f, -4.201086e-4f, 4.1661933e-3f,
                              -4.166662e-2f};
  const F32 f32;
  const auto size = hn::Abs(x), square = hn::Mul(x, x), one = hn::Set(f32, 1.0f);
  auto p = hn::Set(f32, kTerms[0]);
#pragma GCC unroll 8
  for (std::size_t i = 1; i < sizeof(kTerms) / sizeof(float); ++i)
    p = hn::MulAdd(p, square, hn::Set(f32, kTerms[i]));
  const auto near = hn::MulAdd(hn::Mul(p, square), x, hn::Mul(x, hn::Set(f32, 0.5f)));
  const auto e = exp2(hn::Mul(size, hn::Set(f32, std::numbers::log2e_v<float>)));
  const auto far = hn::Sub(one, hn::Div(hn::Set(f32, 2.0f), hn::Add(e, one)));
  return hn::IfThenElse(hn::Lt(size, hn::Set(f32, kPolynomialBelow)), near, hn::CopySign(far, x));
}

/// Products under a soft cap: tanh(cap·product / 2).
HWY_INLINE VecF32 capped(VecF32 product, VecF32 cap) { return tanh_of_half(hn::Mul(product, cap)); }
inline void row_cap(float* s, std::int64_t n, float cap) {
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  const auto factor = hn::Set(f32, cap);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const auto x = capped(hn::LoadU(f32, s + i), factor);
    const auto y = capped(hn::LoadU(f32, s + i + lanes), factor);
    hn::StoreU(x, f32, s + i);
    hn::StoreU(y, f32, s + i + lanes);
  }
  for (; i + lanes <= n; i += lanes) hn::StoreU(capped(hn::LoadU(f32, s + i), factor), f32, s + i);
  for (; i < n; ++i) s[i] = hn::GetLane(capped(hn::Set(f32, s[i]), factor));
}

/// The slope of a cap, from what it made of the products.
inline void row_slope(const float* HWY_RESTRICT s, std::int64_t n, float* HWY_RESTRICT slope) {
  for (std::int64_t i = 0; i < n; ++i) slope[i] = 1.0f - s[i] * s[i];
}

/// Products, or what a cap made of them, with ALiBi.
inline void row_alibi(float* s, std::int64_t n, const ScoreRow& row) {
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  const auto own = hn::Set(f32, row.own_key), scale = hn::Set(f32, row.scale),
             down = hn::Set(f32, -row.slope);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto distance = hn::Abs(hn::Sub(own, hn::LoadU(f32, row.key_positions + i)));
    hn::StoreU(hn::MulAdd(distance, down, hn::Mul(scale, hn::LoadU(f32, s + i))), f32, s + i);
  }
  for (; i < n; ++i) {
    const auto distance = hn::Abs(hn::Sub(own, hn::Set(f32, row.key_positions[i])));
    s[i] = hn::GetLane(hn::MulAdd(distance, down, hn::Mul(scale, hn::Set(f32, s[i]))));
  }
}

/// scale·s + bias.
inline void row_bias(float* s, std::int64_t n, float scale, const float* bias) {
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  const auto factor = hn::Set(f32, scale);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::MulAdd(factor, hn::LoadU(f32, s + i), hn::LoadU(f32, bias + i)), f32, s + i);
  for (; i < n; ++i)
    s[i] = hn::GetLane(hn::MulAdd(factor, hn::Set(f32, s[i]), hn::Set(f32, bias[i])));
}

/// Products, or what a cap made of them, with what is added to each: ALiBi, bias.
inline void row_addends(float* s, std::int64_t n, const ScoreRow& row) {
  const bool alibi = row.key_positions != nullptr;
  if (alibi) row_alibi(s, n, row);
  if (row.bias.data != nullptr) row_bias(s, n, alibi ? 1.0f : row.scale, row.bias.data);
}

inline void row_score(float* s, std::int64_t n, const ScoreRow& row, float* slope) {
  if (row.cap > 0) row_cap(s, n, row.cap);
  if (row.cap > 0 && slope != nullptr) row_slope(s, n, slope);
  row_addends(s, n, row);
}

inline float row_max(const float* s, std::int64_t n) {
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  auto a = hn::Set(f32, -std::numeric_limits<float>::infinity());
  auto b = a;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = hn::Max(a, hn::LoadU(f32, s + i));
    b = hn::Max(b, hn::LoadU(f32, s + i + lanes));
  }
  float best = hn::GetLane(hn::MaxOfLanes(f32, hn::Max(a, b)));
  for (; i < n; ++i) best = s[i] > best ? s[i] : best;
  return best;
}

/// Sum of part(first, count) over parts of a row of n, each added up by two vectors in chains of at
/// most kLongestChain.
template <typename Part>
HWY_INLINE float sum_of_parts(std::int64_t n, Part part) {
  const std::int64_t longest = 2 * kLongestChain * vector_lanes();
  float sum = 0;
  for (std::int64_t i = 0; i < n; i += longest) sum += part(i, std::min(longest, n - i));
  return sum;
}

inline float exp2_of_part(float* s, std::int64_t n, float max, float factor) {
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  const auto minus = hn::Set(f32, max), times = hn::Set(f32, factor);
  auto a = hn::Zero(f32);
  auto b = hn::Zero(f32);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const auto x = exp2(hn::Mul(hn::Sub(hn::LoadU(f32, s + i), minus), times));
    const auto y = exp2(hn::Mul(hn::Sub(hn::LoadU(f32, s + i + lanes), minus), times));
    hn::StoreU(x, f32, s + i);
    hn::StoreU(y, f32, s + i + lanes);
    a = hn::Add(a, x);
    b = hn::Add(b, y);
  }
  float sum = hn::GetLane(hn::SumOfLanes(f32, hn::Add(a, b)));
  for (; i < n; ++i) {
    s[i] = hn::GetLane(exp2(hn::Set(f32, (s[i] - max) * factor)));
    sum += s[i];
  }
  return sum;
}

inline float row_exp2(float* s, std::int64_t n, float max, float factor) {
  return sum_of_parts(n, [=](std::int64_t first, std::int64_t count)
                             HWY_ATTR { return exp2_of_part(s + first, count, max, factor); });
}

inline void row_scale(float* x, std::int64_t n, float factor) {
  for (std::int64_t i = 0; i < n; ++i) x[i] *= factor;
}

inline void row_add(float* HWY_RESTRICT x, const float* HWY_RESTRICT y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) x[i] += y[i];
}

inline void row_multiply(float* HWY_RESTRICT x, const float* HWY_RESTRICT y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) x[i] *= y[i];
}

inline void row_dscores(float* HWY_RESTRICT dp, const float* HWY_RESTRICT p, std::int64_t n,
                        double delta) {
  const auto [high, low] = split(delta);
  for (std::int64_t i = 0; i < n; ++i) dp[i] = p[i] * (dp[i] - high - low);
}

inline double row_dot(const float* x, const float* y, std::int64_t n) {
  const hn::ScalableTag<double> f64;
  const hn::Rebind<float, decltype(f64)> half;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f64));
  const auto load = [&](const float* from)
                        HWY_ATTR { return hn::PromoteTo(f64, hn::LoadU(half, from)); };
  auto a = hn::Zero(f64);
  auto b = hn::Zero(f64);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = hn::MulAdd(load(x + i), load(y + i), a);
    b = hn::MulAdd(load(x + i + lanes), load(y + i + lanes), b);
  }
  double sum = hn::GetLane(hn::SumOfLanes(f64, hn::Add(a, b)));
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return sum;
}

template <typename T>
HWY_INLINE void store_as(const float* HWY_RESTRICT x, std::int64_t n, float factor,
                         T* HWY_RESTRICT dst) {
  for (std::int64_t i = 0; i < n; ++i) dst[i] = from_f32<T>(x[i] * factor);
}

inline void row_store(const float* x, std::int64_t n, float factor, Dtype dtype, void* dst) {
  with_cpu_dtype(dtype, [&](auto zero) HWY_ATTR {
    store_as(x, n, factor, static_cast<decltype(zero)*>(dst));
  });
}

/// Of integers, so that the compiler makes vectors of them.
inline bool row_is_finite(const float* x, std::int64_t n) {
  constexpr std::uint32_t kExponent = 0x7f800000u;
  std::uint32_t any = 0;
  for (std::int64_t i = 0; i < n; ++i)
    any |= (std::bit_cast<std::uint32_t>(x[i]) & kExponent) == kExponent ? 1u : 0u;
  return any == 0;
}

inline float row_sum(const float* x, std::int64_t n) {
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  auto sum = hn::Zero(f32);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum = hn::Add(sum, hn::LoadU(f32, x + i));
  float total = hn::GetLane(hn::SumOfLanes(f32, sum));
  for (; i < n; ++i) total += x[i];
  return total;
}

/// 12 independent chains hide the latency of the multiply-add (4 cycles x 2 a cycle, and slack);
/// with these factors no value ever overflows.
inline double multiply_adds(std::int64_t iterations, float* sink) {
  constexpr int kChains = 12;
  const F32 f32;
  VecF32 x[kChains];
  const auto factor = hn::Set(f32, 0.9999f);
  const auto term = hn::Set(f32, 1e-4f);
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) x[c] = hn::Set(f32, 1.0f + 0.01f * static_cast<float>(c));
  for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) x[c] = hn::MulAdd(x[c], factor, term);
  }
  auto sum = x[0];
#pragma GCC unroll 16
  for (int c = 1; c < kChains; ++c) sum = hn::Add(sum, x[c]);
  *sink = hn::GetLane(hn::SumOfLanes(f32, sum));
  return 2.0 * kChains * static_cast<double>(vector_lanes()) * static_cast<double>(iterations);
}

inline float read(const float* x, std::int64_t n) {
  constexpr int kChains = 8;
  const F32 f32;
  const std::int64_t lanes = vector_lanes();
  VecF32 sum[kChains];
#pragma GCC unroll 8
  for (int c = 0; c < kChains; ++c) sum[c] = hn::Zero(f32);
  for (std::int64_t i = 0; i + kChains * lanes <= n; i += kChains * lanes) {
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) sum[c] = hn::Add(sum[c], hn::LoadU(f32, x + i + c * lanes));
  }
#pragma GCC unroll 8
  for (int c = 1; c < kChains; ++c) sum[0] = hn::Add(sum[0], sum[c]);
  return hn::GetLane(hn::SumOfLanes(f32, sum[0]));
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

// Compiles the tile operations once per SIMD level through Highway.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/tile_ops_simd.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep: includes this file once per target
#include <hwy/highway.h>

#include "cpu/tile_ops-inl.h"

#if HWY_ONCE
#include "cpu/tile_ops_levels.h"

namespace flashbench::cpu {

namespace {

/// Intel's cores lose load slots now and then, so that fewer loads per multiply-add pay; AMD's do
/// not (Zen 5: tall .88 to .94 of peak).
bool prefers_wide_tiles() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel") != 0;
#else
  return false;
#endif
}

}  // namespace

// A target that was not generated has no namespace: ask the preprocessor.
std::vector<TileOps> simd_tile_ops(Isa isa) {
#if HWY_TARGETS & HWY_SSE4
  if (isa == Isa::kSse4) return {N_SSE4::make_tile_ops<N_SSE4::TallTile>(isa)};
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa == Isa::kAvx2) return {N_AVX2::make_tile_ops<N_AVX2::TallTile>(isa)};
#endif
#if HWY_TARGETS & HWY_AVX3
  if (isa == Isa::kAvx512) {
    const TileOps tall = N_AVX3::make_tile_ops<N_AVX3::TallTile>(isa);
    const TileOps wide = N_AVX3::make_tile_ops<N_AVX3::WideTile>(isa);
    return prefers_wide_tiles() ? std::vector{wide, tall} : std::vector{tall, wide};
  }
#endif
#if HWY_TARGETS & HWY_NEON
  if (isa == Isa::kNeon) return {N_NEON::make_tile_ops<N_NEON::TallTile>(isa)};
#endif
  return {};
}

bool processor_has(Isa isa) {
  const std::int64_t supported = hwy::SupportedTargets();
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kSse4:
      return (supported & HWY_SSE4) != 0;
    case Isa::kAvx2:
      return (supported & HWY_AVX2) != 0;
    case Isa::kAvx512:
      return (supported & HWY_AVX3) != 0;
    case Isa::kNeon:
      return (supported & HWY_NEON) != 0;
    case Isa::kAvx512Bf16:
#if defined(__x86_64__)
      return __builtin_cpu_supports("avx512bf16") != 0;
#else
      return false;
#endif
  }
  return false;
}

}  // namespace flashbench::cpu
#endif  // HWY_ONCE

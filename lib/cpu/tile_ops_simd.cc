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

/// The wide register tile loads less per multiply-add than the tall one, which pays on Intel
/// (Emerald Rapids: 5 % in a product from L1) and makes no difference on AMD's Zen 5.
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
  if (isa == Isa::kAvx512Bf16) {
    std::vector<TileOps> forms = simd_tile_ops(Isa::kAvx512);  // for the other dtypes
    for (TileOps& form : forms) form.isa = isa;
    TileOps tall = N_AVX3::make_tile_ops<N_AVX3::TallPairTile>(isa);
    TileOps wide = N_AVX3::make_tile_ops<N_AVX3::WidePairTile>(isa);
    tall.reads_8_bits = wide.reads_8_bits = __builtin_cpu_supports("avx512vbmi") != 0;
    forms.push_back(prefers_wide_tiles() ? wide : tall);
    forms.push_back(prefers_wide_tiles() ? tall : wide);
    return forms;
  }
#endif
#if HWY_TARGETS & HWY_NEON
  if (isa == Isa::kNeon) return {N_NEON::make_tile_ops<N_NEON::TallTile>(isa)};
#endif
  return {};
}

// FLOP/s of vdpbf16ps against those of the f32 multiply-add: 2.0 on Zen 5, 0.5 on Emerald Rapids.
bool has_fast_bf16_dots() {
#if defined(__x86_64__)
  return __builtin_cpu_is("amd") != 0;
#else
  return false;
#endif
}

bool processor_has_simd(Isa isa) {
  const std::int64_t supported = hwy::SupportedTargets();
  if (isa == Isa::kSse4) return (supported & HWY_SSE4) != 0;
  if (isa == Isa::kAvx2) return (supported & HWY_AVX2) != 0;
  if (isa == Isa::kAvx512) return (supported & HWY_AVX3) != 0;
  if (isa == Isa::kNeon) return (supported & HWY_NEON) != 0;
#if defined(__x86_64__)
  if (isa == Isa::kAvx512Bf16)
    return (supported & HWY_AVX3) != 0 && __builtin_cpu_supports("avx512bf16") != 0;
#endif
  return false;
}

}  // namespace flashbench::cpu
#endif  // HWY_ONCE

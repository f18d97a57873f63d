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

// A target that was not generated has no namespace: ask the preprocessor.
std::optional<TileOps> simd_tile_ops(Isa isa) {
#if HWY_TARGETS & HWY_SSE4
  if (isa == Isa::kSse4) return N_SSE4::make_tile_ops(isa);
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa == Isa::kAvx2) return N_AVX2::make_tile_ops(isa);
#endif
#if HWY_TARGETS & HWY_AVX3
  if (isa == Isa::kAvx512) return N_AVX3::make_tile_ops(isa);
#endif
#if HWY_TARGETS & HWY_NEON
  if (isa == Isa::kNeon) return N_NEON::make_tile_ops(isa);
#endif
  return std::nullopt;
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

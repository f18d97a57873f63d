// What the dispatcher asks the processor.
#include <hwy/targets.h>

#include <cstdint>

#include "cpu/tile_ops_levels.h"

namespace flashbench::cpu {

// Emerald Rapids: 5 % in a product from L1; no difference on AMD's Zen 5.
bool prefers_wide_tiles() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel") != 0;
#else
  return false;
#endif
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
  // Asked once: in a virtual machine each of its many cpuid instructions is a call to the host.
  static const std::int64_t supported = hwy::SupportedTargets();
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

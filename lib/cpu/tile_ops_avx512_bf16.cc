// The tile operations of AVX-512 with dot products of bf16 pairs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/tile_ops_avx512_bf16.cc"
#define HWY_DISABLED_TARGETS (~(HWY_AVX3 | HWY_SCALAR | HWY_NEON))
#include <hwy/foreach_target.h>  // IWYU pragma: keep: includes this file once per target
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX3
#include "cpu/tile_ops-inl.h"
#endif

#if HWY_ONCE
#include "cpu/tile_ops_levels.h"

namespace flashbench::cpu {

std::vector<TileOps> avx512_bf16_tile_ops([[maybe_unused]] Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  std::vector<TileOps> forms = avx512_tile_ops(isa);  // for the other dtypes
  TileOps tall = N_AVX3::make_tile_ops<N_AVX3::TallPairTile>(isa);
  TileOps wide = N_AVX3::make_tile_ops<N_AVX3::WidePairTile>(isa);
  tall.reads_8_bits = wide.reads_8_bits = __builtin_cpu_supports("avx512vbmi") != 0;
  forms.push_back(prefers_wide_tiles() ? wide : tall);
  forms.push_back(prefers_wide_tiles() ? tall : wide);
  return forms;
#else
  return {};
#endif
}

}  // namespace flashbench::cpu
#endif  // HWY_ONCE

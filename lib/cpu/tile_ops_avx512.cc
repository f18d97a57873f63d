// The tile operations of AVX-512, of f32.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/tile_ops_avx512.cc"
#define HWY_DISABLED_TARGETS (~(HWY_AVX3 | HWY_SCALAR | HWY_NEON))
#include <hwy/foreach_target.h>  // IWYU pragma: keep: includes this file once per target
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX3
#include "cpu/tile_ops-inl.h"
#endif

#if HWY_ONCE
#include "cpu/tile_ops_levels.h"

namespace flashbench::cpu {

std::vector<TileOps> avx512_tile_ops([[maybe_unused]] Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  const TileOps tall = N_AVX3::make_tile_ops<N_AVX3::TallTile>(isa);
  const TileOps wide = N_AVX3::make_tile_ops<N_AVX3::WideTile>(isa);
  return prefers_wide_tiles() ? std::vector{wide, tall} : std::vector{tall, wide};
#else
  return {};
#endif
}

}  // namespace flashbench::cpu
#endif  // HWY_ONCE

// The tile operations of AVX2.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/tile_ops_avx2.cc"
#define HWY_DISABLED_TARGETS (~(HWY_AVX2 | HWY_SCALAR | HWY_NEON))
#include <hwy/foreach_target.h>  // IWYU pragma: keep: includes this file once per target
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX2
#include "cpu/tile_ops-inl.h"
#endif

#if HWY_ONCE
#include "cpu/tile_ops_levels.h"

namespace flashbench::cpu {

std::vector<TileOps> avx2_tile_ops([[maybe_unused]] Isa isa) {
#if HWY_TARGETS & HWY_AVX2
  return {N_AVX2::make_tile_ops<N_AVX2::TallTile>(isa)};
#else
  return {};
#endif
}

}  // namespace flashbench::cpu
#endif  // HWY_ONCE

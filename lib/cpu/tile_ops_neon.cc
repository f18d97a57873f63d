// The tile operations of NEON.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/tile_ops_neon.cc"
#define HWY_DISABLED_TARGETS (~(HWY_NEON | HWY_SCALAR))
#include <hwy/foreach_target.h>  // IWYU pragma: keep: includes this file once per target
#include <hwy/highway.h>

#if HWY_TARGET == HWY_NEON
#include "cpu/tile_ops-inl.h"
#endif

#if HWY_ONCE
#include "cpu/tile_ops_levels.h"

namespace flashbench::cpu {

std::vector<TileOps> neon_tile_ops([[maybe_unused]] Isa isa) {
#if HWY_TARGETS & HWY_NEON
  return {N_NEON::make_tile_ops<N_NEON::TallTile>(isa)};
#else
  return {};
#endif
}

}  // namespace flashbench::cpu
#endif  // HWY_ONCE

// The tile operations without SIMD: what every processor runs.
#define HWY_COMPILE_ONLY_SCALAR
#include <hwy/highway.h>

#include "cpu/tile_ops-inl.h"
#include "cpu/tile_ops_levels.h"

namespace flashbench::cpu {

std::vector<TileOps> scalar_tile_ops(Isa isa) {
  return {N_SCALAR::make_tile_ops<N_SCALAR::TallTile>(isa),
          N_SCALAR::make_tile_ops<N_SCALAR::TallPairTile>(isa)};
}

}  // namespace flashbench::cpu

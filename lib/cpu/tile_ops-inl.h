// The table of one Highway target. The file of an ISA level (tile_ops_avx2.cc, ...) compiles it,
// and all that it includes.
#if defined(FLASHBENCH_CPU_TILE_OPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_TILE_OPS_INL_H_
#undef FLASHBENCH_CPU_TILE_OPS_INL_H_
#else
#define FLASHBENCH_CPU_TILE_OPS_INL_H_
#endif

#include "cpu/gemm-inl.h"
#include "cpu/operand-inl.h"
#include "cpu/pack-inl.h"
#include "cpu/row_dots-inl.h"
#include "cpu/row_products-inl.h"
#include "cpu/rows-inl.h"
#include "cpu/scores-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {

template <typename Tile>
inline TileOps make_tile_ops(Isa isa) {
  using Operand = typename Tile::Operand;
  return {.isa = isa,
          .per_word = static_cast<int>(kPerWord<Operand>),
          .reads_8_bits = kPerWord<Operand> == 1 || HWY_TARGET == HWY_SCALAR,
          .lanes = static_cast<int>(vector_lanes()),
          .rows = Tile::kTileRows,
          .cols = static_cast<int>(panel_cols<Tile>()),
          .pack_rows = pack_rows<Operand>,
          .pack_panels = pack_panels<Tile>,
          .pack_panels_transposed = pack_panels_transposed<Tile>,
          .gemm = gemm<Tile>,
          .gemm_exp2 = gemm_exp2<Tile, SumOver::kColumns>,
          .gemm_exp2_rows = gemm_exp2<Tile, SumOver::kRows>,
          .gemm_dscores = gemm_dscores<Tile>,
          .dots = dots<Operand>,
          .add_rows = add_rows<Operand>,
          .row_to_operand = Operand::row_to_operand,
          .row_max = row_max,
          .row_exp2 = row_exp2,
          .row_score = row_score,
          .row_scale = row_scale,
          .row_add = row_add,
          .row_multiply = row_multiply,
          .row_dscores = row_dscores,
          .row_dot = row_dot,
          .row_store = row_store,
          .row_is_finite = row_is_finite,
          .row_sum = row_sum,
          .multiply_adds = Operand::multiply_adds,
          .read = read};
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif

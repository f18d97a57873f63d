#pragma once

#include <vector>

#include "cpu/tile_ops.h"

// What each tile-operations file gives to the dispatcher (tile_ops.cc).
namespace flashbench::cpu {

/// The tables without SIMD: the tall register tile, with f32 operands and with pairs of bf16. `isa`
/// only labels them.
std::vector<TileOps> scalar_tile_ops(Isa isa);

/// The tables that Highway compiled for a SIMD level, a file each, the one that suits this
/// processor first of its kind of operand. Empty: this build has no code for the level.
std::vector<TileOps> sse4_tile_ops(Isa isa);
std::vector<TileOps> avx2_tile_ops(Isa isa);
std::vector<TileOps> avx512_tile_ops(Isa isa);
std::vector<TileOps> avx512_bf16_tile_ops(Isa isa);
std::vector<TileOps> neon_tile_ops(Isa isa);

/// Do the processor and the operating system run this SIMD level? False for a level without SIMD.
bool processor_has_simd(Isa isa);

/// Do bf16 dot products (vdpbf16ps) run at more FLOP/s here than f32 multiply-adds?
bool has_fast_bf16_dots();

/// Is the wide register tile, which loads less per multiply-add, faster here than the tall one?
bool prefers_wide_tiles();

}  // namespace flashbench::cpu

#pragma once

#include <vector>

#include "cpu/tile_ops.h"

// What each tile-operations file gives to the dispatcher (tile_ops.cc).
namespace flashbench::cpu {

std::vector<TileOps> scalar_tile_ops();
/// The forms of a level, the one for this processor first; empty: this build has no code for it.
std::vector<TileOps> simd_tile_ops(Isa isa);
/// Does the processor, and the operating system with it, run this level?
bool processor_has(Isa isa);

/// Are bf16 dot products faster than converting to f32 while packing?
bool has_fast_bf16_dots();

}  // namespace flashbench::cpu

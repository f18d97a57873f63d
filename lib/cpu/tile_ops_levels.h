#pragma once

#include <vector>

#include "cpu/tile_ops.h"

// What each tile-operations file gives to the dispatcher (tile_ops.cc).
namespace flashbench::cpu {

/// Tall and with pairs, whatever the level is called.
std::vector<TileOps> scalar_tile_ops(Isa isa);

/// What Highway makes of a SIMD level: its forms, the one for this processor first. Empty: this
/// build has no code for it.
std::vector<TileOps> simd_tile_ops(Isa isa);
/// Does the processor, and the operating system with it, run a SIMD level? False for any other.
bool processor_has_simd(Isa isa);

/// Are bf16 dot products faster than converting to f32 while packing?
bool has_fast_bf16_dots();

}  // namespace flashbench::cpu
